"""The demonstration: a district, its people, a past month."""

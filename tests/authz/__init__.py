"""The authorization matrix (security.md M8, M9): authz.yaml says who may do what to whom, and this folder holds the product to it."""

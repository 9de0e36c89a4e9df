"""Pure geometry: datums, fixes, zones, verdicts, boundary files. Knows nothing of the server, the clock or HTTP."""

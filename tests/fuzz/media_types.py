"""What Schemathesis has to be told about our media types; it loads this file itself (see test_contract.py)."""

import schemathesis

# A piece of an upload (draft-ietf-httpbis-resumable-upload) is bytes, whatever is in them.
schemathesis.serializer.alias("application/partial-upload", "application/octet-stream")

"""Multipart forms, which on-premises installations accept as well (sdp-msp-api §2)."""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP


def multipart_fields(content_type: str, body: bytes) -> dict[str, str]:
    """Return the text fields of a multipart form by name."""
    message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    fields = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            fields[name] = payload.decode("utf-8", "replace")
    return fields

"""Two servers, two certificates: what is said of one does not count for the other."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator

import pytest
import trustme
from msp_xero.errors import AccessRefused
from msp_xero.sdp import SdpClient, SdpSettings

from .conftest import Listing, Reply, ScriptedServer

Secured = Callable[[trustme.CA], ScriptedServer]


@pytest.fixture
def secured() -> Iterator[Secured]:
    """Make a server with a certificate of an authority."""
    made: list[ScriptedServer] = []

    def make(authority: trustme.CA) -> ScriptedServer:
        server = ScriptedServer()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("localhost").configure_cert(context)
        server.secure(context)
        made.append(server)
        return server

    yield make
    for one in made:
        one.close()


@pytest.fixture
def servers(secured: Secured) -> tuple[ScriptedServer, ScriptedServer, trustme.CA]:
    """The portal and the token service, each with an authority of its own, and that of the token service."""
    authority = trustme.CA()
    portal, tokens = secured(trustme.CA()), secured(authority)
    portal.answer = Listing("customers", [{"id": "1"}])
    tokens.answer = lambda _: Reply({"access_token": "T1", "expires_in": 3600})
    return portal, tokens, authority


def connected(portal: ScriptedServer, tokens: ScriptedServer, **more) -> SdpClient:
    config = {
        "edition": "cloud",
        "base_url": portal.url,
        "oauth_url": tokens.url,
        "oauth_client_id": "1000.X",
        "oauth_client_secret": "S",
        "oauth_refresh_token": "R",
    }
    return SdpClient(SdpSettings.from_config(config | more))


def test_the_token_service_is_verified_where_the_portal_is_not(servers, monkeypatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)  # they would beat verify_tls, and hide what is tested
    portal, tokens, _ = servers
    client = connected(portal, tokens, verify_tls=False)
    with pytest.raises(AccessRefused, match="the certificate of the token endpoint is not trusted"):
        list(client.accounts())
    assert tokens.seen == portal.seen == []  # no secret left this machine
    client.close()


def test_a_token_service_that_is_trusted_is_asked_and_the_portal_believed(
    servers, tmp_path, monkeypatch
) -> None:
    portal, tokens, authority = servers
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    client = connected(portal, tokens, verify_tls=False)
    assert [row["id"] for row in client.accounts()] == ["1"]
    client.close()
    client = connected(portal, tokens)
    with pytest.raises(AccessRefused, match="its certificate is not trusted"):
        list(client.accounts())
    client.close()

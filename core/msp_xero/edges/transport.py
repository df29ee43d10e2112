"""The HTTP session that both clients are given: certificates, pooling, deadlines, no hidden retries."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from typing_extensions import override

from msp_xero.edges.deadline import ANSWER_SECONDS, DeadlineAdapter
from msp_xero.edges.watching import watched
from msp_xero.errors import SettingError

if TYPE_CHECKING:
    from msp_xero.edges.watching import Watch


def http_session(  # noqa: PLR0913 - what a session can be
    *,
    pool_size: int = 8,
    verify_tls: bool = True,
    ca_bundle: str | None = None,
    user_agent: str = "msp-xero",
    watch: Watch | None = None,
    answer_seconds: float = ANSWER_SECONDS,
) -> requests.Session:
    """Return a session that does exactly what it is told, once.

    Retries belong to the clients, which know whether a call can be repeated. Redirects are not
    followed: a redirected API call means a login page or a wrong address, and following it would
    carry credentials to another host. Credentials in ``~/.netrc`` are ignored for the same reason.

    Args:
        pool_size: connections kept open per host.
        verify_tls: False switches certificate checks off; the caller warns about it.
        ca_bundle: path of a PEM file with private authorities, used instead of the public ones.
        user_agent: sent with every call.
        watch: shown every call and its answer; None for nobody.
        answer_seconds: what a whole answer may take beyond the timeout that each call is given for one
            read; afterwards it fails as one that was broken off.

    Raises:
        SettingError: ``ca_bundle`` is not a readable file.
    """
    # At debug level urllib3 logs addresses with their query, which can name customers.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
    session = _StraightSession()
    adapter = DeadlineAdapter(
        answer_seconds=answer_seconds,
        pool_connections=pool_size,
        pool_maxsize=pool_size,
        max_retries=0,
        pool_block=True,
    )
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.auth = _leave_alone
    session.max_redirects = 0
    session.headers["User-Agent"] = user_agent
    if ca_bundle is not None:
        if not Path(ca_bundle).is_file():
            raise SettingError("ca_bundle", f"there is no file {ca_bundle}", "/etc/ssl/private-ca.pem")
        session.verify = ca_bundle
    else:
        session.verify = verify_tls
    return watched(session, watch)


class _StraightSession(requests.Session):
    """A session that hands a redirect over like any other answer.

    ``allow_redirects=False`` alone still looks where it leads, and ``max_redirects`` breaks the call off:
    the login page that a redirect leads to would be reported as a broken connection, and asked again.
    """

    @override
    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


def _leave_alone(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep requests from looking up ~/.netrc, which would replace our Authorization header."""
    return request

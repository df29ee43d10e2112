"""``msp-xero login``: connect a Xero web or PKCE app through the browser."""

from __future__ import annotations

import webbrowser
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msp_xero.errors import MspXeroError, SettingError
from msp_xero.xero import XeroSettings
from msp_xero.xero.callback import Callback
from msp_xero.xero.login import PORT, Login, LoginFailed, listed, pick
from msp_xero.xero.scopes import missing

from msp_xero_console import show
from msp_xero_console.command import AsJson, command, command_group, needs_person
from msp_xero_console.meltano import variable_name
from msp_xero_console.project import XERO_PLUGINS, Project
from msp_xero_console.words import text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from msp_xero.xero.login import Consent
    from msp_xero.xero.tokens import Token

app = command_group("Connect a Xero web or PKCE app through the browser.")

_GRANT = "authorization_code"
_TRIES = 3
# What has to be the same for all plugins: a rotating refresh token can live in one place only.
_SHARED = ("client_id", "client_secret", "token_store", "identity_url", "login_url", "api_url")


@command(app)
def login(  # noqa: PLR0913 - each is an option
    project: Project,
    *,
    organisation: Annotated[
        str | None,
        typer.Option(
            "--organisation",
            metavar="NAME|ID",
            help="Organisation to work on, when the login reaches several.",
        ),
    ] = None,
    browser: Annotated[
        bool,
        typer.Option(
            "--browser/--no-browser",
            help="Open a browser here and wait for it; or print the address, and take the answer pasted.",
        ),
    ] = True,
    port: Annotated[
        int,
        typer.Option(
            "--port",
            min=1,
            max=65535,
            help="Port of http://localhost:PORT/callback, the redirect address registered for the app.",
        ),
    ] = PORT,
    timeout: Annotated[
        int, typer.Option("--timeout", min=1, metavar="SECONDS", help="How long to wait for the browser.")
    ] = 300,
    as_json: AsJson = False,
) -> None:
    """Connect a Xero web app or PKCE app: a person agrees in the browser, and the login is stored.

    A Custom Connection, which is the default, needs no login. Settings are left as they are; at the end it
    says which ones to set.
    """
    settings = _settings(project)
    talk = _Talk(quiet=as_json)
    flow = Login(settings)
    if aside := flow.prepare_store():
        talk.say(f"The token store was damaged; it is kept as {aside}, and a new one is begun.")
    if idle := _without_login(project):
        talk.say(
            f"{' and '.join(idle)}: with grant client_credentials, as it is set, no login is needed, and no "
            f"run uses this one until grant: {_GRANT} is set."
        )
    if browser:
        consent, code = _by_browser(flow, talk, port, timeout)
    else:
        consent = flow.consent(port)
        code = _by_hand(consent, talk)
    token = flow.redeem(consent, code)
    try:
        reached = flow.organisations(token)
        tenant = _chosen(reached, organisation, settings.tenant_id, talk)
        token = flow.choose(token, tenant, reached[tenant])
    except MspXeroError:
        # Xero does not say whether a new login of the same user ends the one before (docs/connect-xero.md).
        talk.say(
            "Nothing was stored. A login from before is as it was; `msp-xero doctor` tells whether Xero "
            "still accepts it."
        )
        raise
    result = _Result(project, settings, token)
    if as_json:
        show.data(result.as_data())
    else:
        result.draw()
    if result.missing:
        needs_person()


def _settings(project: Project) -> XeroSettings:
    """Return the connection of all Xero plugins, which have to agree on it."""
    found = {
        plugin: XeroSettings.from_config({**project.config(plugin), "grant": _GRANT})
        for plugin in XERO_PLUGINS
        if plugin in project.configs
    }
    if not found:
        raise MspXeroError(
            f"{project.source} has neither of {' and '.join(XERO_PLUGINS)}, so no app to log in"
        )
    for name in _SHARED:
        if len({getattr(settings, name) for settings in found.values()}) > 1:
            raise SettingError(
                name,
                f"differs between {' and '.join(found)}; a login belongs to one app and is kept in one place",
            )
    return found[XERO_PLUGINS[-1]] if XERO_PLUGINS[-1] in found else next(iter(found.values()))


def _without_login(project: Project) -> list[str]:
    """Return the plugins that would not use a login as they are set."""
    return [
        plugin
        for plugin in XERO_PLUGINS
        if plugin in project.configs and project.config(plugin).get("grant") != _GRANT
    ]


class _NobodyAnswers(LoginFailed):
    """Standard input is closed, or a person pressed Ctrl-C."""


class _Talk:
    """Speaks with the person: on standard error when standard output is for a script."""

    def __init__(self, *, quiet: bool) -> None:
        self._to_error = quiet

    def say(self, sentence: str = "") -> None:
        typer.echo(sentence, err=self._to_error)

    def ask(self, question: str) -> str:
        """Return what is typed or piped in.

        Raises:
            _NobodyAnswers: there is nobody to answer.
        """
        try:
            return str(typer.prompt(question, err=self._to_error, default="", show_default=False))
        except typer.Abort:
            typer.echo(err=self._to_error)
            raise _NobodyAnswers("no answer was typed or piped in; run msp-xero login again") from None


def _by_browser(flow: Login, talk: _Talk, port: int, timeout: int) -> tuple[Consent, str]:
    with Callback(port) as callback:
        consent = flow.consent(callback.port)
        callback.start(consent.code_in)
        talk.say("Opening Xero's consent page. Agree there, and choose the organisation. The address is")
        talk.say(f"\n{consent.address}\n")
        if not webbrowser.open(consent.address):
            talk.say("No browser could be opened. Open the address on this machine, or use --no-browser.")
        talk.say(f"Waiting for the answer at {consent.redirect_uri}, {timeout} seconds. Ctrl-C ends it.")
        return consent, callback.wait(timeout)


def _by_hand(consent: Consent, talk: _Talk) -> str:
    talk.say("Open this address in a browser, on any machine, agree, and choose the organisation:")
    talk.say(f"\n{consent.address}\n")
    talk.say(
        f"The browser ends at an address that begins with {consent.redirect_uri} and shows an error there."
    )
    talk.say("Copy that whole address from its address bar, within five minutes.")
    for tries_left in reversed(range(_TRIES)):
        try:
            return consent.code_pasted(talk.ask("Address"))
        except LoginFailed as error:
            if not tries_left or isinstance(error, _NobodyAnswers):
                raise
            talk.say(f"{error}.")
    raise AssertionError


def _chosen(reached: Mapping[str, str], wanted: str | None, setting: str | None, talk: _Talk) -> str:
    """Return the organisation to work on: by option, by setting, the only one, or as answered."""
    if wanted is not None:
        return pick(reached, wanted)
    if setting is not None:
        if setting.lower() in {tenant.lower() for tenant in reached}:
            return pick(reached, setting)
        raise SettingError("tenant_id", f"the login does not reach {setting}; it reaches {listed(reached)}")
    if len(reached) == 1:
        return next(iter(reached))
    rows = sorted(reached.items(), key=lambda row: row[1].casefold())
    talk.say("The login reaches several organisations:")
    for number, (tenant, name) in enumerate(rows, 1):
        talk.say(f"  {number}  {text(name)}  ({tenant})")
    try:
        answer = talk.ask("Number of the one to bill in")
    except _NobodyAnswers:
        answer = ""
    if answer.isascii() and answer.isdigit() and 1 <= int(answer) <= len(rows):
        return rows[int(answer) - 1][0]
    raise LoginFailed(
        f"no organisation was chosen; run it again, or with --organisation. It reaches {listed(reached)}"
    )


class _Result:
    """What came of it, and what is still to be set."""

    def __init__(self, project: Project, settings: XeroSettings, token: Token) -> None:
        self._token = token
        self._store = settings.token_store
        self.missing = missing(token.scope)
        self._wanted = {"grant": _GRANT, "tenant_id": token.tenant_id or ""}
        self._to_set = {
            name: [
                plugin
                for plugin in XERO_PLUGINS
                if plugin in project.configs
                and str(project.config(plugin).get(name) or "").lower() != value.lower()
            ]
            for name, value in self._wanted.items()
        }

    @property
    def _ends_at(self) -> datetime:
        assert self._token.ends_at is not None, "a login without a refresh token is not stored"
        return self._token.ends_at

    def as_data(self) -> dict[str, Any]:
        return {
            "organisation": self._token.tenant_name,
            "tenant_id": self._token.tenant_id,
            "scopes": self._token.scope.split(),
            "missing_scopes": [need.scope for need in self.missing],
            "ends_at": self._ends_at,
            "token_store": str(self._store),
            "settings_to_set": {
                name: self._wanted[name] for name, plugins in self._to_set.items() if plugins
            },
        }

    def draw(self) -> None:
        show.say()
        show.say(f"Connected to {text(self._token.tenant_name)}.")
        show.facts(
            [
                ("Tenant ID", str(self._token.tenant_id)),
                ("Scopes", self._token.scope),
                ("Lasts", f"until {self._ends_at:%Y-%m-%d}; every run that uses it renews it for 60 days"),
                ("Stored in", str(self._store)),
            ]
        )
        show.say()
        for need in self.missing:
            show.say(
                f"The login cannot {need.what}: the scope {need.scope} is missing. Add it to the setting "
                "scopes, or leave that out, and log in again."
            )
        for name, plugins in self._to_set.items():
            if plugins:
                variables = " and ".join(variable_name(plugin, name) for plugin in plugins)
                show.say(
                    f"Set {name}: {self._wanted[name]} for {' and '.join(plugins)} (or {variables} in .env)."
                )
        show.say("Then `msp-xero doctor` shows whether all is well. Only this machine may use this login.")

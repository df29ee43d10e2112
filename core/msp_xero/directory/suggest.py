"""Suggestions for a person who maps: which accounts a contact may be, how likely, and why.

Nothing is linked here. A suggestion can be accepted without a closer look only where it is *clear*:
no other account comes near it for this contact, and no other contact for this account.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from rapidfuzz import fuzz, process

from msp_xero.directory.clues import CARRIED_ID, DOMAIN, PHONE, TAX, account_clues, carried_clue
from msp_xero.directory.names import NameRead, read_name
from msp_xero.ledger.link_staging import ACCOUNT
from msp_xero.ledger.links import account_links, listed_entries, pick_list
from msp_xero.ledger.merges import ACTIVE, ids_taken_away

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from msp_xero.ledger import Ledger
    from msp_xero.ledger.models import AccountLink

CLEAR: Final = 5
"""By how many points a suggestion must lead, on both sides, to be accepted without a closer look."""

LOWEST: Final = 60
"""Suggestions below this score are not worth a look."""

_SAME, _NEARLY, _FORM, _OTHER_FORM, _ORDER, _PART = 96, 95, 93, 80, 88, 70
_ALIKE: Final = 80  # per cent; below this two names are two names
_FUZZY: Final = 0.9
_WEIGHTS: Final = {CARRIED_ID: 0.99, TAX: 0.9, DOMAIN: 0.6, PHONE: 0.6}
_SAYINGS: Final = {
    CARRIED_ID: "the account carries its ContactID",
    TAX: "same tax number",
    DOMAIN: "same e-mail or web domain",
    PHONE: "same telephone number",
}
_CROWD: Final = 10  # what more than so many share tells nothing
_RARE: Final = 50
_SHORT: Final = 4
_INACTIVE: Final = 10


class Party(NamedTuple):
    """A contact or an account, and what tells who it is."""

    id: str
    name: str
    clues: frozenset[str] = frozenset()
    inactive: bool = False


@dataclass(frozen=True, slots=True)
class Suggestion:
    """An account that a contact may be: ``score`` from 0 to 100, and what speaks for it."""

    account_id: str
    account_name: str
    score: int
    reasons: tuple[str, ...]

    @property
    def reason(self) -> str:
        """All reasons in one text."""
        return ", ".join(self.reasons)


@dataclass(frozen=True, slots=True)
class Suggestions:
    """What was found.

    Attributes:
        by_contact: the best suggestions by contact, best first; a contact without any has none here.
        clear: the suggestion by contact that may be accepted; each account occurs once at most.
    """

    by_contact: Mapping[str, tuple[Suggestion, ...]] = field(default_factory=dict)
    clear: Mapping[str, Suggestion] = field(default_factory=dict)


def read_suggestions(ledger: Ledger, *, most: int = 3) -> Suggestions:
    """Return suggestions for all contacts on the unmapped list, from what the last settle stored."""
    rows = account_links(ledger)
    # Of contacts that are not in use a person may link one, but no likeness of names does.
    waiting = {
        row.contact_id for row in account_links(ledger, unmapped_only=True) if row.contact_status == ACTIVE
    }
    free = {entry.sdp_id for entry in pick_list(ledger, ACCOUNT)}
    entries = listed_entries(ledger, ACCOUNT)
    contacts = [
        Party(row.contact_id, row.contact_name, _clues_of(row) | {*carried_clue(row.contact_id)})
        for row in rows
    ]
    accounts = [
        Party(one.sdp_id, one.name, frozenset(one.clues or ()), one.inactive)
        for one in entries
        if not one.own
    ]
    found = suggest(
        [one for one in contacts if one.id in waiting],
        [one for one in accounts if one.id in free],
        most=most,
        beside=(
            [one for one in contacts if one.id not in waiting],
            [one for one in accounts if one.id not in free],
        ),
    )
    # What a person took away looks as clear as before; only a person gives it back, by name.
    taken_away = {(contact_id, one) for contact_id, ids in ids_taken_away(rows).items() for one in ids}
    clear = {one: best for one, best in found.clear.items() if (one, best.account_id) not in taken_away}
    return Suggestions(found.by_contact, clear)


def _clues_of(row: AccountLink) -> frozenset[str]:
    return frozenset(row.clues or ()) | frozenset(account_clues(row.wanted))


def suggest(
    contacts: Iterable[Party],
    accounts: Iterable[Party],
    *,
    most: int = 3,
    beside: tuple[Sequence[Party], Sequence[Party]] = ((), ()),
) -> Suggestions:
    """Rank the accounts that each contact may be. The order of the input changes nothing.

    Args:
        contacts: contacts that are not linked.
        accounts: accounts that are not linked.
        most: the most suggestions of one contact to return.
        beside: contacts and accounts that are out of question; what they share with others tells less.
    """
    wanted = sorted({one.id: one for one in contacts if one.name}.values())
    offered = _Accounts({one.id: one for one in accounts if one.name}, wanted, beside)
    by_contact: dict[str, tuple[Suggestion, ...]] = {}
    leads: dict[str, int] = {}
    rivals: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for contact in wanted:
        ranked = offered.ranked(contact)
        for found in ranked:
            best = rivals[found.account_id]
            best.append((found.score, contact.id))
            best.sort(key=lambda pair: (-pair[0], pair[1]))
            del best[2:]
        if ranked:
            leads[contact.id] = ranked[0].score - (ranked[1].score if len(ranked) > 1 else 0)
            by_contact[contact.id] = tuple(offered.suggestion(contact, found) for found in ranked[:most])
    clear: dict[str, Suggestion] = {}
    for contact_id, lead in leads.items():
        first = by_contact[contact_id][0]
        (score, winner), *others = rivals[first.account_id]
        if lead >= CLEAR and winner == contact_id and (not others or score - others[0][0] >= CLEAR):
            clear[contact_id] = first
    return Suggestions(by_contact, clear)


class _Found(NamedTuple):
    """An account that was found for a contact; ``saying`` is what its name speaks for."""

    score: int
    account_id: str
    saying: str


class _Accounts:
    """All accounts, indexed by all that may lead a contact to one."""

    def __init__(
        self,
        accounts: Mapping[str, Party],
        contacts: Sequence[Party],
        beside: tuple[Sequence[Party], Sequence[Party]],
    ) -> None:
        self._accounts = accounts
        self._names = {one: read_name(party.name) for one, party in sorted(accounts.items())}
        self._by_text: defaultdict[tuple[str, object], list[str]] = defaultdict(list)
        self._by_clue: defaultdict[str, list[str]] = defaultdict(list)
        self._by_word: defaultdict[str, list[str]] = defaultdict(list)
        for one, name in self._names.items():
            for text in (("normalised", name.normalised), ("joined", name.joined), ("words", name.words)):
                self._by_text[text].append(one)
            for clue in accounts[one].clues:
                self._by_clue[clue].append(one)
            for word in name.words:
                self._by_word[word].append(one)
        self._by_rarest: defaultdict[str, list[str]] = defaultdict(list)
        for one, name in self._names.items():
            if name.words:
                self._by_rarest[self._rarest(name.words)].append(one)
        # One entry an essence, short ones first: what differs much in length is not alike.
        self._by_essence: defaultdict[str, list[str]] = defaultdict(list)
        for one, name in self._names.items():
            self._by_essence[name.essence].append(one)
        self._essences = sorted(self._by_essence, key=lambda essence: (len(essence), essence))
        self._lengths = [len(essence) for essence in self._essences]
        self._crowd = _crowd([*contacts, *beside[0]], [*accounts.values(), *beside[1]])
        known = {clue for party in contacts for clue in party.clues if _names_owner(clue)}
        # An account that carries the id of a contact that waits is no other's.
        self._owners = {one: owner for one, party in accounts.items() if (owner := party.clues & known)}

    def _rarest(self, words: Iterable[str]) -> str:
        return min(words, key=lambda word: (len(self._by_word.get(word, ())), word))

    def ranked(self, contact: Party) -> list[_Found]:
        """Return all accounts that are worth a look, best first."""
        names = self._name_scores(read_name(contact.name))
        clues = [clue for clue in contact.clues if self._crowd[clue] <= _CROWD]
        candidates = names.keys() | {one for clue in clues for one in self._by_clue.get(clue, ())}
        found = []
        for one in candidates:
            owner = self._owners.get(one)
            if owner is not None and not owner & contact.clues:
                continue
            name_score, saying = names.get(one, (0.0, ""))
            score = self._score(contact, one, name_score)
            if score >= LOWEST:
                found.append(_Found(score, one, saying))
        return sorted(
            found, key=lambda one: (-one.score, self._accounts[one.account_id].name, one.account_id)
        )

    def suggestion(self, contact: Party, found: _Found) -> Suggestion:
        """Return a suggestion with its reasons."""
        account = self._accounts[found.account_id]
        reasons = [found.saying] if found.saying else []
        kinds = {clue.partition(":")[0] for clue in self._shared(contact, account)}
        reasons += [words for kind, words in _SAYINGS.items() if kind in kinds]
        if account.inactive:
            reasons.append("but the account is inactive")
        return Suggestion(account.id, account.name, found.score, tuple(reasons))

    def _shared(self, contact: Party, account: Party) -> Iterator[str]:
        return (clue for clue in contact.clues & account.clues if self._crowd[clue] <= _CROWD)

    def _score(self, contact: Party, account_id: str, name_score: float) -> int:
        account = self._accounts[account_id]
        strongest: dict[str, float] = {}
        for clue in self._shared(contact, account):
            kind = clue.partition(":")[0]
            strongest[kind] = max(strongest.get(kind, 0.0), _WEIGHTS[kind] / self._crowd[clue])
        doubt = 1 - name_score / 100
        for kind in _WEIGHTS:  # in one order: sums of fractions depend on it
            doubt *= 1 - strongest.get(kind, 0.0)
        return max(0, round(100 * (1 - doubt)) - (_INACTIVE if account.inactive else 0))

    def _name_scores(self, name: NameRead) -> dict[str, tuple[float, str]]:
        """Return score and reason of all accounts whose name is like a name; the best reason wins."""
        scores: dict[str, tuple[float, str]] = {}
        for one, score, saying in self._alike(name):
            if score > scores.get(one, (0.0, ""))[0]:
                scores[one] = (score, saying)
        return scores

    def _alike(self, name: NameRead) -> Iterator[tuple[str, float, str]]:
        for one in self._by_text.get(("normalised", name.normalised), ()):
            if self._names[one].exact == name.exact:
                yield one, _SAME, "same name"
            else:
                yield one, _NEARLY, "same name but for case, spaces and punctuation"
        for one in self._by_text.get(("joined", name.joined), ()):
            if _forms_agree(name.forms, self._names[one].forms):
                yield one, _FORM, "same name but for the company suffix"
            else:
                yield one, _OTHER_FORM, "same name with another kind of company suffix"
        if name.words:
            for one in self._by_text.get(("words", name.words), ()):
                if self._names[one].joined != name.joined:
                    yield one, _ORDER, "same words in another order"
            yield from ((one, _PART, "one name is part of the other") for one in self._parts(name))
        if len(name.essence) >= _SHORT:
            yield from self._fuzzy(name)

    def _parts(self, name: NameRead) -> Iterator[str]:
        if len(name.joined) >= _SHORT:
            longer = self._by_word.get(self._rarest(name.words), ())
            if len(longer) <= _RARE:
                yield from (one for one in longer if name.words < self._names[one].words)
        for word in name.words:
            shorter = self._by_rarest.get(word, ())
            if len(shorter) <= _RARE:
                yield from (
                    one
                    for one in shorter
                    if self._names[one].words < name.words and len(self._names[one].joined) >= _SHORT
                )

    def _fuzzy(self, name: NameRead) -> Iterator[tuple[str, float, str]]:
        # A ratio of r needs lengths that differ by no more than a factor of (200 - r) / r.
        length, factor = len(name.essence), (200 - _ALIKE) / _ALIKE
        first = bisect_left(self._lengths, length / factor)
        last = bisect_right(self._lengths, length * factor)
        found = process.extract(
            name.essence,
            self._essences[first:last],
            scorer=fuzz.ratio,
            score_cutoff=_ALIKE,
            limit=None,
        )
        for essence, ratio, _ in found:
            if essence == name.essence:
                continue  # that is the same name, of which the suffixes have their say
            for one in self._by_essence[essence]:
                # Numbers tell branches and holding companies apart, however alike the rest is.
                if self._names[one].digits == name.digits:
                    yield one, ratio * _FUZZY, f"names {int(ratio)} % alike"


def _names_owner(clue: str) -> bool:
    return clue.startswith(f"{CARRIED_ID}:")


def _forms_agree(one: frozenset[str], other: frozenset[str]) -> bool:
    return one <= other or other <= one


def _crowd(contacts: Sequence[Party], accounts: Sequence[Party]) -> Mapping[str, int]:
    """Return how many share each clue, on the side where more do."""
    sides = [
        Counter(clue for party in {one.id: one for one in side}.values() for clue in party.clues)
        for side in (contacts, accounts)
    ]
    return sides[0] | sides[1]

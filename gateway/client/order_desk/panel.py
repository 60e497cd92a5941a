"""The five steps as the panel shows them: a pure view of a session's calls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.client.order_desk.sessions import Session
from gateway.client.order_desk.wire import Call, Field, Kind, Place

STEPS: Mapping[str, tuple[Kind, ...]] = {
    "ask": (Kind.DISCOVER, Kind.ASK),
    "consent": (Kind.CALLBACK,),
    "trade": (Kind.TRADE,),
    "call": (Kind.READ, Kind.WRITE),
    "refresh": (Kind.REFRESH,),
    "end": (Kind.REVOKE,),
}
"""The steps in their order; the last has no number, for it is none of OAuth's five."""

# Metadata is long, and these are what the walk uses.
_METADATA_SHOWN = frozenset(
    {"issuer", "authorization_endpoint", "token_endpoint", "revocation_endpoint"}
)
_RESULTS: Mapping[tuple[Kind | None, str], str] = {
    (Kind.REFRESH, "invalid_grant"): "result.refresh.invalid_grant",
    (Kind.TRADE, "invalid_grant"): "result.trade.invalid_grant",
    (None, "invalid_token"): "result.invalid_token",
    (None, "invalid_client"): "result.invalid_client",
    (None, "insufficient_scope"): "result.insufficient_scope",
    (None, "access_denied"): "result.access_denied",
}


class Progress(StrEnum):
    """How far a step has come."""

    DONE = "done"
    REFUSED = "refused"
    NEXT = "next"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class FieldView:
    """A value on its line; `meaning` is a key of the words, empty where it explains itself."""

    field: Field
    meaning: str


@dataclass(frozen=True, slots=True)
class CallView:
    """One call; `why` and `result` are keys of the words, `result` empty for a yes."""

    call: Call
    why: str
    result: str
    sent: tuple[FieldView, ...]
    answered: tuple[FieldView, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class StepView:
    """One step; `number` is 0 for what comes after the five."""

    name: str
    number: int
    progress: Progress
    is_open: bool
    calls: tuple[CallView, ...]
    earlier: tuple[CallView, ...]


def view_steps(session: Session | None, declared: Mapping[str, str]) -> tuple[StepView, ...]:
    """Give the steps of a session, or of none. `declared` are the words, to see which exist."""
    steps: list[StepView] = []
    has_next = False
    for number, (name, kinds) in enumerate(STEPS.items(), start=1):
        calls = _calls(session, kinds)
        progress = _progress(calls)
        if progress is Progress.LATER and not has_next and name != "end":
            has_next = True
            progress = Progress.NEXT
        # Behind a no there is nothing next: the way begins anew.
        has_next = has_next or progress is Progress.REFUSED
        since = session.seen if session is not None else 0
        current = [call for call in calls if call.number > since]
        newest = {call.kind: call for call in calls}
        shown = current or list(newest.values())
        steps.append(
            StepView(
                name=name,
                number=0 if name == "end" else number,
                progress=progress,
                is_open=bool(current),
                calls=tuple(_view(call, declared) for call in shown),
                earlier=tuple(_view(call, declared) for call in calls if call not in shown),
            )
        )
    return tuple(steps)


def _calls(session: Session | None, kinds: Sequence[Kind]) -> list[Call]:
    if session is None:
        return []
    found = [call for kind in kinds for call in session.calls.get(kind, ())]
    return sorted(found, key=lambda call: call.number)


def _progress(calls: Sequence[Call]) -> Progress:
    if not calls:
        return Progress.LATER
    return Progress.REFUSED if calls[-1].is_refused else Progress.DONE


def _view(call: Call, declared: Mapping[str, str]) -> CallView:
    answered = call.answered
    left_out = 0
    if call.kind is Kind.DISCOVER and call.status == 200:
        answered = tuple(item for item in answered if item.name in _METADATA_SHOWN)
        left_out = sum(item.place is Place.JSON for item in call.answered) - len(answered)
    return CallView(
        call=call,
        why=f"why.{call.kind}",
        result=_result(call),
        sent=tuple(FieldView(item, _meaning(item, declared)) for item in call.sent),
        answered=tuple(FieldView(item, _meaning(item, declared)) for item in answered),
        left_out=left_out,
    )


def _result(call: Call) -> str:
    if not call.is_refused:
        return ""
    if call.status is None:
        return "result.no_answer"
    for key in ((call.kind, call.error), (None, call.error)):
        if key in _RESULTS:
            return _RESULTS[key]
    return "result.refused"


def _meaning(item: Field, declared: Mapping[str, str]) -> str:
    key = f"field.{item.name}"
    if item.name == "Authorization":
        key += f".{item.value.partition(' ')[0]}"
    return key if key in declared else ""

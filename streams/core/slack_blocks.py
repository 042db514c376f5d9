"""One step of an alarm or rollback as a Slack message, and many steps as one.

Block Kit allows 50 blocks, 3000 characters a section and 150 a header; above some 13 000 characters in all
Slack answers ``msg_blocks_too_long`` (slackapi/bolt-js#2509). What people wrote is escaped, so that a feature
named ``<!channel>`` calls nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seawall.monitor import HOUR_US
from seawall.sparks import spark_pair
from streams.core.messages import SEVERITIES, SHOWN_FEATURES, Step, clip, severity_of
from streams.core.words import SILENCE, silence_text, utc_text, value_text

HEADER_CHARS = 150
SECTION_CHARS = 2900
"""Under Slack's 3000, which it counts after its own rewriting."""
BUDGET_CHARS = 10_000
DIGEST_LINES = 20

_ICONS = {"critical": "🔴", "error": "🟠", "warning": "🟡", "info": "🔵"}
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def slack_message(alarm: Step, *, link: str = "") -> dict[str, Any]:
    """Render a Block Kit message. An incoming webhook cannot edit: a resolved alarm is a second message.

    Parameters
    ----------
    link
        Where a person can look; left out when empty.
    """
    if "rollback_id" in alarm:
        return _slack_rollback(alarm, link)
    state = alarm["state"]
    icon = "✅" if state == "resolved" else _ICONS[severity_of(alarm)]
    of = " ".join(filter(None, (alarm["model"], alarm["version"], alarm["kind"])))
    title = f"{icon} {state.capitalize()}: {of}"
    where = f"\nSegment `{_code(alarm['segment'])}`" if alarm["segment"] else ""
    blocks = [
        _header(title),
        _section(escape(str(alarm["summary"]), 2000) + where),
    ]
    if alarm["story"] and state != "resolved":
        blocks.append(_section(escape(str(alarm["story"]), 1500)))
    if alarm["features"] and state != "resolved":
        shown = alarm["features"][:SHOWN_FEATURES]
        lines = [_feature_line(feature, alarm["onset_us"]) for feature in shown]
        if len(alarm["features"]) > len(shown):
            lines.append(f"… and {len(alarm['features']) - len(shown)} more")
        blocks.append(_section("\n".join(lines)))
    why = str(alarm["attribution_why"])
    context = (
        f"{utc_text(alarm['window_start_us'])} to {utc_text(alarm['window_end_us'])} · {alarm['rows']:,} rows · "
        f"severity {severity_of(alarm)} · at fault: {escape(str(alarm['attribution']), 40)}"
    )
    if why and why not in alarm["story"]:
        context += f" ({escape(why, 800)})"
    context += f" · `seawall alarms show {_code(alarm['alarm_id'])}`"
    blocks.append(_context(context + _slack_link(link)))
    # What a phone shows before it is unlocked: the summary names the model itself.
    return {"text": escape(f"{icon} {state.capitalize()}: {alarm['summary']}", 500), "blocks": blocks}


def digest(alarms: Sequence[Step], *, link: str = "") -> dict[str, Any]:
    """Render many steps as one message. Every step is counted; the worst are named, the rest summed up."""
    worst_first = sorted(alarms, key=_urgency)
    counts: dict[str, int] = {}
    for alarm in alarms:
        counts[alarm["state"]] = counts.get(alarm["state"], 0) + 1
    tally = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    title = f"{len(alarms)} messages: {tally}"
    lines = [_digest_line(alarm) for alarm in worst_first[:DIGEST_LINES]]
    blocks = [_header(title)]
    blocks.extend(_section("\n".join(lines[at : at + 5])) for at in range(0, len(lines), 5))
    rest = worst_first[DIGEST_LINES:]
    if rest:
        models = sorted({str(alarm["model"]) for alarm in rest})
        named = ", ".join(_code(model, 60) for model in models[:15])
        more = f" and {len(models) - 15} more" if len(models) > 15 else ""
        blocks.append(_section(f"… and {len(rest)} more, of {named}{more}"))
    if link:
        blocks.append(_context(_slack_link(link).removeprefix(" · ")))
    return {"text": title, "blocks": blocks}


def escape(text: str, limit: int) -> str:
    """Escape for Slack, cut to `limit` characters after escaping and never inside an entity."""
    pieces: list[str] = []
    used = 0
    for char in text:
        piece = _ESCAPES.get(char, char)
        if used + len(piece) > limit - 1:
            return "".join(pieces) + "…"
        pieces.append(piece)
        used += len(piece)
    return "".join(pieces)


def _urgency(alarm: Step) -> tuple[int, int, str]:
    if "rollback_id" in alarm:
        return 0, 0, str(alarm["model"])
    return int(alarm["state"] == "resolved"), SEVERITIES.index(severity_of(alarm)), str(alarm["model"])


def _digest_line(alarm: Step) -> str:
    if "rollback_id" in alarm:
        return f"↩️ rollback {alarm['state']} {_code(alarm['model'], 80)} → {_code(alarm['to_version'], 80)}"
    icon = "✅" if alarm["state"] == "resolved" else _ICONS[severity_of(alarm)]
    what = " ".join(filter(None, (_code(alarm["model"], 80), _code(alarm["version"], 40))))
    return f"{icon} {alarm['state']} {what} {escape(str(alarm['summary']), 160)}"


def _slack_rollback(step: Step, link: str) -> dict[str, Any]:
    title = f"↩️ Rollback {step['state'].replace('_', ' ')}: {step['model']}"
    moves = f"{_code(step['from_version'])} → {_code(step['to_version'])}"
    blocks = [
        _header(title),
        _section(f"{moves}\n{escape(str(step['reason']), 2000)}"),
        _context(
            f"{utc_text(step['ts'])} · mode {_code(step['mode'])} · by {_code(step['actor'])} · "
            f"{_code(step['rollback_id'])}{_slack_link(link)}"
        ),
    ]
    return {"text": escape(f"{title} – {step['reason']}", 500), "blocks": blocks}


def _feature_line(feature: Mapping[str, Any], began_us: int | None) -> str:
    if feature["statistic"] == SILENCE:
        return "• " + silence_text(feature["value"], feature["limit"], feature["chance"])
    value, limit, chance = (
        value_text(feature["statistic"], feature[name]) for name in ("value", "limit", "chance")
    )
    numbers = f"{value} (limit {limit}, chance {chance})"
    tail = f" – {escape(str(feature['detail']), 80)}" if feature["detail"] else ""
    before, after = spark_pair(feature["before"], feature["after"])
    drawn = f" `{before} → {after}`" if before else ""
    own_us = feature["onset_us"]
    # What joined later may be another fault, which the page's own time hides.
    apart = own_us is not None and began_us is not None and abs(own_us - began_us) >= HOUR_US
    since = f" – began {utc_text(own_us)}" if apart else ""
    return f"• `{_code(feature['name'], 80)}` {escape(str(feature['statistic']), 40)} {numbers}{tail}{since}{drawn}"


def _code(text: object, limit: int = 200) -> str:
    """Text that goes between backticks or into one line: no backtick, no line break."""
    return escape(" ".join(str(text).replace("`", "'").split()), limit)


def _header(text: str) -> dict[str, Any]:
    # a header is plain text: Slack shows it as written, so nothing is escaped
    return {
        "type": "header",
        "text": {"type": "plain_text", "text": clip(text, HEADER_CHARS), "emoji": True},
    }


def _section(text: str) -> dict[str, Any]:
    text = text if text.strip() else "–"  # Slack refuses a message with an empty text in it
    return {"type": "section", "text": {"type": "mrkdwn", "text": clip(text, SECTION_CHARS)}}


def _context(text: str) -> dict[str, Any]:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": clip(text, SECTION_CHARS)}]}


def _slack_link(link: str) -> str:
    return f" · <{escape(link, 1000)}|dashboard>" if link else ""

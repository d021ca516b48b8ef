"""The date and time, here or anywhere."""

import difflib
from datetime import datetime

from chatbot.errors import ToolError
from chatbot.terminal_text import clean_line
from chatbot.tools.built_in.parameters import Line
from chatbot.tools.decorator import tool


@tool(reaches_network=False, writes=False)
def current_time(timezone: Line = "") -> str:
    """Tell the present date, weekday and time.

    Args:
        timezone: IANA name of a time zone, such as Europe/Paris; empty for the user's own.
    """
    now = datetime.now().astimezone() if not timezone.strip() else _now_in(timezone.strip())
    offset = now.strftime("%z")
    zone = timezone.strip() or now.tzname() or "local time"
    return f"{now:%A, %Y-%m-%d %H:%M:%S} (UTC{offset[:3]}:{offset[3:5]}, {zone})"


def _now_in(name: str) -> datetime:
    from zoneinfo import ZoneInfo, available_timezones

    try:
        return datetime.now(ZoneInfo(name))
    # IsADirectoryError for "Europe", ValueError for a path that leads out of the zones.
    except (KeyError, ValueError, OSError) as error:
        zones = available_timezones()
        wanted = name.replace(" ", "_").casefold()
        cities = sorted(zone for zone in zones if zone.casefold().split("/")[-1] == wanted)
        near = cities or difflib.get_close_matches(name, zones, 1)
        example = near[0] if near else "Europe/Paris"
        raise ToolError(
            f"{clean_line(name, 60)} is no IANA time zone: write one such as {example}."
        ) from error

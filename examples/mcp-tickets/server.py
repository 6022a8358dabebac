"""A ticket store as an MCP server (streamable HTTP at /mcp). It checks no token and holds none.

Behind Countersign each request bears `Countersign-Subject`, because the registry lists `identity_headers: [subject]` for this
target, and everybody is shown their own tickets only. Reading the header is optional. It can be believed behind the sidecar,
which takes it off everything that comes from outside, and nowhere else.
"""

import itertools
import logging
import os

from mcp.server.fastmcp import Context, FastMCP

TITLES = ["Cannot sign in from the new laptop", "Invoice 4711 was sent twice"]

# The SDK reports the end of every session as an error of its stream.
logging.getLogger("mcp.server.streamable_http").setLevel(logging.CRITICAL)

server = FastMCP("tickets", host="127.0.0.1", port=int(os.environ["PORT"]), log_level="WARNING")
tickets = {}
numbers = itertools.count(1)


def own_tickets(context: Context) -> dict:
    """The tickets of the user for whom this request is made; none where nobody says who that is."""
    subject = context.request_context.request.headers.get("Countersign-Subject")
    if subject is None:
        return {}
    if subject not in tickets:
        tickets[subject] = {f"T-{next(numbers)}": f"{title} (opened by {subject})" for title in TITLES}
    return tickets[subject]


@server.tool()
def list_tickets(context: Context) -> str:
    """List the open tickets."""
    return "; ".join(f"{id} {title}" for id, title in own_tickets(context).items()) or "none"


@server.tool()
def close_ticket(id: str, context: Context) -> str:
    """Close a ticket."""
    if own_tickets(context).pop(id, None) is None:
        raise ValueError(f"there is no open ticket `{id}`")
    return f"{id} is closed"


if __name__ == "__main__":
    server.run(transport="streamable-http")

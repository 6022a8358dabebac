"""A LangGraph agent that answers questions about tickets. It knows nothing about tokens, users or Countersign.

`POST /ask {"question": "…"}` answers `{"answer": "…"}`. The tools come from an MCP server at TICKETS_URL. The model is
scripted, so that the agent needs no network and no key: it asks for `list_tickets` first and then puts the result into words.
"""

import asyncio
import os
from contextlib import AsyncExitStack
from datetime import timedelta

import uvicorn
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

TICKETS_URL = os.environ.get("TICKETS_URL", "http://tickets.tool/mcp")
SHARED_SESSION = os.environ.get("SHARED_SESSION") == "1"

mcp = MultiServerMCPClient(
    {
        "tickets": {
            "transport": "streamable_http",
            "url": TICKETS_URL,
            "session_kwargs": {"read_timeout_seconds": timedelta(seconds=5)},
        }
    }
)


class ScriptedModel(BaseChatModel):
    """Stands where a real chat model would: first it wants the tickets, then it answers from what the tool gave."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools, **_):
        return self

    def _generate(self, messages, stop=None, run_manager=None, **_):
        last = messages[-1]
        if isinstance(last, ToolMessage):
            reply = AIMessage(f"These are the open tickets: {last.text}")
        else:
            wanted = ToolCall(name="list_tickets", args={}, id="call-1")
            reply = AIMessage("", tool_calls=[wanted])
        return ChatResult(generations=[ChatGeneration(message=reply)])


def graph(tools):
    """The usual loop: the model speaks, the tools that it asked for run, the model speaks again."""
    model = ScriptedModel().bind_tools(tools)

    async def speak(state: MessagesState):
        return {"messages": [await model.ainvoke(state["messages"])]}

    built = StateGraph(MessagesState)
    built.add_node("model", speak)
    built.add_node("tools", ToolNode(tools, handle_tool_errors=False))
    built.add_edge(START, "model")
    built.add_conditional_edges("model", tools_condition)
    built.add_edge("tools", "model")
    return built.compile()


class SharedTools:
    """One MCP session for the whole process, opened by whoever asks first. Widespread, and a mistake: see README.md."""

    def __init__(self):
        self.lock = asyncio.Lock()
        self.opened = []
        self.tools = None

    async def get(self):
        async with self.lock:
            if self.tools is None:
                self.opened.append(AsyncExitStack())
                session = await self.opened[-1].enter_async_context(mcp.session("tickets"))
                self.tools = await load_mcp_tools(session)
        return self.tools

    def forget(self):
        """The session is broken: the next request opens another one."""
        self.tools = None


shared = SharedTools()


async def ask(request: Request):
    question = (await request.json())["question"]
    try:
        tools = await shared.get() if SHARED_SESSION else await mcp.get_tools()
        said = await graph(tools).ainvoke({"messages": [HumanMessage(question)]})
    except Exception as fault:
        shared.forget()
        return JSONResponse({"error": f"the tickets could not be read: {reason(fault)}"}, status_code=502)
    return JSONResponse({"answer": said["messages"][-1].text})


def reason(fault):
    """The first cause inside the groups in which asyncio wraps what its tasks raise."""
    while getattr(fault, "exceptions", None):
        fault = fault.exceptions[0]
    return str(fault) or type(fault).__name__


app = Starlette(routes=[Route("/ask", ask, methods=["POST"])])

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")

"""Tools that tests tell models of."""

import json

from chatbot.engine.protocol.messages import ToolExample, ToolSchema


def tool(name: str, description: str = "", **properties: dict[str, object]) -> ToolSchema:
    """A tool all of whose parameters are required."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return ToolSchema(name=name, description=description, parameters=json.dumps(schema))


WEATHER = tool(
    "weather", "The weather.", place={"type": "string"}, days={"type": "integer", "maximum": 9}
)
NOW = tool("now", "The time now.")
TOOLS = (WEATHER, NOW)

CALCULATE = ToolSchema(
    name="calculate",
    description="Work out an arithmetic expression.",
    parameters=tool("", expression={"type": "string"}).parameters,
    example=ToolExample(question="What is 6 * 7?", arguments='{"expression": "6 * 7"}'),
)

"""The JSON Schema of the configuration file as it is written, made from the models."""

from pydantic import BaseModel

from gateway.settings.authorization_server_models import AuthorizationServerSettings
from gateway.settings.models import GatewaySettings, RouteSettings
from gateway.settings.shapes import Define, Schema, Section, fields_of

# What JSON Schema can say of the rules that join several keys of a section.
_JOINT_RULES: dict[type[BaseModel], Schema] = {
    AuthorizationServerSettings: {
        "oneOf": [{"required": [kind]} for kind in ("embedded", "introspection", "jwt")]
    },
    RouteSettings: {"oneOf": [{"required": ["require"]}, {"required": ["public"]}]},
}


def json_schema() -> Schema:
    """Give the JSON Schema, draft 2020-12."""
    definitions: dict[str, Schema] = {}

    def define(section: Section) -> Schema:
        name = section.model.__name__.removesuffix("Settings")
        if name not in definitions:
            definitions[name] = {}  # taken, before its own keys are looked at
            definitions[name].update(_describe(section, define))
        return {"$ref": f"#/$defs/{name}"}

    root = _describe(Section(GatewaySettings), define)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Gateway configuration",
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def _describe(section: Section, define: Define) -> Schema:
    properties: dict[str, Schema] = {}
    required: list[str] = []
    for name, key in fields_of(section.model).items():
        properties[name] = {**key.shape.schema(define), "description": key.words}
        if key.default is not None:
            properties[name]["default"] = key.default
        if key.is_required:
            required.append(name)
    description = " ".join((section.model.__doc__ or "").split())
    schema: Schema = {
        "type": "object",
        "description": description,
        "properties": properties,
        "additionalProperties": False,
    }
    if required:
        schema["required"] = required
    return {**schema, **_JOINT_RULES.get(section.model, {})}

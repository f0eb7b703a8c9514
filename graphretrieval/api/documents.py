"""GraphQL documents, parsed, weighed and validated once: one rule for depth, aliases and cost.

A document is weighed before the standard rules see it, because some of those take time that grows
with the square of what was written. Its plan is kept under its sha256, so that the second request
with the same text costs neither; registered (trusted) documents are planned at the start and asked
for by their hash alone.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    parse,
    validate,
)

from graphretrieval.api.problems import Refused

# the longest document of the page has 950 characters and 150 tokens, usual introspection 1,900
CHARACTERS = 16_000
TOKENS = 1_200
DEPTH = 12
INTROSPECTION_DEPTH = 20  # the usual introspection query has 15
FIELDS = 400
SPREAD_FIELDS = 2_000  # with every fragment written out where it is spread
ROOTS = 12
SAME_FIELD = 12  # how often one field may be asked for side by side, under aliases or not
SPREADS = 60
COST = 20_000
# documents kept; a client that never repeats itself pushes out only others of its kind
PLANS = 1_000

#: What a field costs by itself, in tenths of a millisecond of one core; the others cost 1.
COSTS: Mapping[str, int] = {
    "search": 300,
    "recommend": 300,
    "ask": 300,
    "caption": 300,
    "classify": 300,
    "paths": 100,
    "neighbourhood": 100,
    "categories": 50,
    "stats": 50,
    "models": 50,
    "proposals": 50,
    "neighbours": 5,
    "descriptions": 5,
    "description": 3,
    # up and down again and again: the same few categories, and each time all their fields
    "parent": 5,
}
#: What each element of a list argument adds to the cost of its field: a label is asked for alone.
EACH: Mapping[str, tuple[str, int]] = {"classify": ("labels", 100)}
#: Arguments (or fields of ``input``) that say how many are asked for, and what they are by default.
COUNTS = ("k", "first", "limit")
MANY: Mapping[str, int] = {
    "search": 10,
    "recommend": 10,
    "ask": 5,
    "caption": 5,
    "neighbours": 20,
    "descriptions": 5,
    "neighbourhood": 60,
    "categories": 50,
    "children": 50,
    "proposals": 20,
    "models": 20,
    "nodes": 10,
}


@dataclass(frozen=True)
class Weight:
    """What a selection comes to, with everything it spreads."""

    cost: int = 0
    fields: int = 0
    depth: int = 0


@dataclass
class Plan:
    """A document ready to run."""

    text: str = field(repr=False)
    document: DocumentNode = field(repr=False)
    operations: Mapping[str, OperationDefinitionNode] = field(repr=False)
    trusted: bool = False
    _costs: dict[bytes, int] = field(default_factory=dict, repr=False)

    def operation(self, name: str | None) -> OperationDefinitionNode:
        """The operation that is meant.

        Raises:
            Refused: it is not there, or there are several and none is named.
        """
        if name is None and len(self.operations) == 1:
            return next(iter(self.operations.values()))
        if name is None or name not in self.operations:
            raise Refused(
                "UNKNOWN_OPERATION",
                400,
                f"the document has no operation {name!r}",
                remedy=f"name one of {', '.join(filter(None, self.operations)) or 'them'}",
            )
        return self.operations[name]

    def cost(self, name: str | None, variables: Mapping[str, Any]) -> int:
        """What running it costs, with these variables.

        Raises:
            Refused: more than a single query may cost.
        """
        counted = _counted(self.operation(name), variables)
        # of what clients send only declared names and counts, and of these a digest, is kept
        key = hashlib.sha256(json.dumps([name, counted], sort_keys=True).encode()).digest()
        if key not in self._costs:
            if len(self._costs) > 64:
                self._costs.clear()
            weigher = _Weigher(self.document, counted)
            self._costs[key] = weigher.operation(self.operation(name)).cost
        if self._costs[key] > COST:
            raise Refused(
                "TOO_COSTLY",
                400,
                f"the query costs {self._costs[key]}, more than {COST}",
                remedy="ask for fewer results, or fewer things of each",
            )
        return self._costs[key]


class Documents:
    """The documents seen lately and those registered."""

    def __init__(self, schema: GraphQLSchema, *, trusted_only: bool = False) -> None:
        self.schema, self.trusted_only = schema, trusted_only
        self._plans: OrderedDict[str, Plan] = OrderedDict()
        self.trusted: dict[str, Plan] = {}
        self.hits = self.misses = 0

    def trust(self, folder: Path | Any) -> dict[str, str]:
        """Register every ``*.graphql`` of a folder; returns their names and hashes."""
        out = {}
        for file in sorted(folder.iterdir(), key=lambda f: str(f.name)):
            if file.name.endswith(".graphql"):
                text = file.read_text("utf-8")
                plan = self._plan(text)
                plan.trusted = True
                out[file.name.removesuffix(".graphql")] = _hash(text)
                self.trusted[_hash(text)] = plan
        return out

    def by_hash(self, digest: str) -> Plan:
        """A registered document.

        Raises:
            Refused: none has this hash.
        """
        if digest not in self.trusted:
            raise Refused(
                "PERSISTED_QUERY_NOT_FOUND",
                400,
                "no registered document has this hash",
                remedy="send the query itself, or register it in the folder trusted_documents",
            )
        return self.trusted[digest]

    def by_text(self, text: str) -> Plan:
        """The plan of a document, made once.

        Raises:
            Refused: it is too long, deep, wide or costly, or only registered ones are run.
            Invalid: it cannot be parsed, or the schema does not have what it asks for.
        """
        if len(text) > CHARACTERS:
            raise Refused(
                "DOCUMENT_TOO_LONG",
                400,
                f"the document has {len(text)} characters, more than {CHARACTERS}",
                remedy="send values as variables, and split it",
            )
        digest = _hash(text)
        if digest in self.trusted:
            return self.trusted[digest]
        if self.trusted_only:
            raise Refused(
                "NOT_TRUSTED", 403, "only registered documents are run", remedy="register it"
            )
        if digest in self._plans:
            self.hits += 1
            self._plans.move_to_end(digest)
            return self._plans[digest]
        self.misses += 1
        plan = self._plan(text)
        self._plans[digest] = plan
        while len(self._plans) > PLANS:
            self._plans.popitem(last=False)
        return plan

    def _plan(self, text: str) -> Plan:
        try:
            document = parse(text, max_lexical_tokens=TOKENS)
            frugal(document)
            errors = validate(self.schema, document, max_errors=5)
        except GraphQLError as e:
            if "tokens" in e.message:
                raise Refused(
                    "TOO_MANY_TOKENS",
                    400,
                    f"the document has more than {TOKENS} tokens",
                    remedy="send values as variables, and split it",
                ) from e
            raise Invalid([e]) from e
        except RecursionError as e:
            raise Refused("TOO_DEEP", 400, "the document is nested too deeply") from e
        if errors:
            raise Invalid(errors)
        operations = {
            d.name.value if d.name else "": d
            for d in document.definitions
            if isinstance(d, OperationDefinitionNode)
        }
        return Plan(text, document, operations)


class Invalid(Exception):
    """A document the schema cannot answer, with the places of its mistakes."""

    def __init__(self, errors: Sequence[GraphQLError]) -> None:
        super().__init__("; ".join(e.message for e in errors))
        self.errors = list(errors)


def frugal(document: DocumentNode) -> None:
    """The one rule: refuse what is too deep, too wide, too often aliased or too costly.

    Every fragment is weighed once, so a bomb of them costs no more than it has letters.

    Raises:
        Refused: with the measure that was passed.
    """
    weigher = _Weigher(document, {})
    for definition in document.definitions:
        if isinstance(definition, FragmentDefinitionNode):
            weigher.fragment(definition.name.value)
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            weigher.operation(definition)


class _Weigher:
    """One walk over a document; fragments are weighed when first spread and remembered."""

    def __init__(self, document: DocumentNode, variables: Mapping[str, Any]) -> None:
        self.variables = variables
        self.fragments = {
            d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)
        }
        self.weighed: dict[str, Weight] = {}
        self.written = self.spreads = 0

    def operation(self, node: OperationDefinitionNode) -> Weight:
        roots = sum(1 for _ in self._flat(node.selection_set, set()))
        _at_most("ROOTS", roots, ROOTS, "fields at the top")
        if node.operation == OperationType.SUBSCRIPTION:
            _at_most("ROOTS", roots, 1, "subscriptions in one request")
        weight = self._selection(node.selection_set, 1, False)
        _at_most("FIELDS", weight.fields, SPREAD_FIELDS, "fields after spreading fragments")
        _at_most("COSTLY", weight.cost, COST, "cost")
        return weight

    def fragment(self, name: str) -> Weight:
        if name in self.weighed:
            return self.weighed[name]
        if name not in self.fragments:
            return Weight()  # the standard rules say so better
        self.weighed[name] = Weight()  # a ring of fragments is refused by the standard rules
        node = self.fragments[name]
        about_types = node.type_condition.name.value.startswith("__")
        weight = self._selection(node.selection_set, 1, about_types)
        _at_most("FIELDS", weight.fields, SPREAD_FIELDS, "fields after spreading fragments")
        self.weighed[name] = weight
        return weight

    def _flat(self, selections: SelectionSetNode, seen: set[str]) -> Iterable[FieldNode]:
        for node in selections.selections:
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                yield from self._flat(node.selection_set, seen)
            elif isinstance(node, FragmentSpreadNode):
                name = node.name.value
                if name in self.fragments and name not in seen:
                    seen.add(name)
                    yield from self._flat(self.fragments[name].selection_set, seen)

    def _selection(self, selections: SelectionSetNode, depth: int, introspecting: bool) -> Weight:
        limit = INTROSPECTION_DEPTH if introspecting else DEPTH
        _at_most("DEEP", depth, limit, "levels")
        cost = fields = deepest = 0
        same: dict[str, int] = {}
        for node in selections.selections:
            weight = self._one(node, depth, introspecting, same)
            cost, fields = cost + weight.cost, fields + weight.fields
            deepest = max(deepest, weight.depth)
        _at_most("DEEP", depth + deepest - 1, limit, "levels")
        return Weight(cost, fields, deepest)

    def _one(self, node: Any, depth: int, introspecting: bool, same: dict[str, int]) -> Weight:
        if isinstance(node, FieldNode):
            name = node.name.value
            same[name] = same.get(name, 0) + 1
            _at_most("ALIASES", same[name], SAME_FIELD, f"times {name!r} side by side")
            self.written += 1
            _at_most("FIELDS", self.written, 2 * FIELDS, "fields")
            return self._field(node, depth, introspecting or name in ("__schema", "__type"))
        if isinstance(node, InlineFragmentNode):
            return self._selection(node.selection_set, depth, introspecting)
        self.spreads += 1
        _at_most("FRAGMENTS", self.spreads, 2 * SPREADS, "fragment spreads")
        name = node.name.value
        same[f"...{name}"] = same.get(f"...{name}", 0) + 1
        _at_most("FRAGMENTS", same[f"...{name}"], 2, f"times ...{name} side by side")
        return self.fragment(name)

    def _field(self, node: FieldNode, depth: int, introspecting: bool) -> Weight:
        name = node.name.value
        own = 1 if introspecting else COSTS.get(name, 1) + self._each(node)
        if node.selection_set is None:
            return Weight(own, 1, 1)
        inner = self._selection(node.selection_set, depth + 1, introspecting)
        if introspecting:
            # its own depth was measured with its own limit
            deep = 1 if name in ("__schema", "__type") else 1 + inner.depth
            return Weight(own + inner.cost, 1 + inner.fields, deep)
        return Weight(own + self._times(node) * inner.cost, 1 + inner.fields, 1 + inner.depth)

    def _each(self, node: FieldNode) -> int:
        """What the elements of a field's list cost, where they do."""
        name, cost = EACH.get(node.name.value, ("", 0))
        values = [self._value(a.value) for a in node.arguments or () if a.name.value == name]
        return sum(cost * v for v in values if isinstance(v, int))

    def _times(self, node: FieldNode) -> int:
        """How many results a field may bring."""
        for argument in node.arguments or ():
            name = argument.name.value
            value = self._value(argument.value)
            if name in COUNTS and isinstance(value, int):
                return max(1, value)
            if name == "ids" and isinstance(value, list | int):
                return max(1, value if isinstance(value, int) else len(value))
            if name == "input" and isinstance(value, Mapping):
                asked = [v for k, v in value.items() if k in COUNTS and isinstance(v, int)]
                if asked:
                    return max(1, *asked)
        return MANY.get(node.name.value, 1)

    def _value(self, node: ValueNode) -> Any:
        if isinstance(node, VariableNode):
            return self.variables.get(node.name.value)
        if isinstance(node, IntValueNode):
            return int(node.value[:9])
        if isinstance(node, ListValueNode):
            return len(node.values)
        if isinstance(node, ObjectValueNode):
            return {f.name.value: self._value(f.value) for f in node.fields}
        return None


def _counted(operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> dict[str, Any]:
    """What the variables of an operation say of how many; those not given are as by default."""
    written = _Weigher(DocumentNode(definitions=()), {})
    out = {}
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        if name in variables:
            out[name] = _countable(variables[name])
        elif definition.default_value is not None:
            out[name] = written._value(definition.default_value)
    return out


def _countable(value: Any) -> Any:
    """What of a variable says how many: whole numbers, lengths of lists, one level of objects."""
    if isinstance(value, list):
        return len(value)
    if isinstance(value, Mapping):
        return {k: _whole(v) for k, v in value.items() if k in COUNTS}
    return _whole(value)


def _whole(value: Any) -> int | None:
    """A whole number, also one written as 100.0: GraphQL takes it for an Int."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not value.is_integer():
        return None
    return min(abs(int(value)), 10**9)


def _at_most(code: str, found: int, limit: int, what: str) -> None:
    if found > limit:
        raise Refused(
            f"TOO_{code}" if code in ("DEEP", "COSTLY") else f"TOO_MANY_{code}",
            400,
            f"the query has {found} {what}, more than {limit}"
            if code != "COSTLY"
            else f"the query costs {found}, more than {limit}",
            remedy="ask for less at once, or in several requests",
        )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

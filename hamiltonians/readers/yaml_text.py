"""YAML from strangers: plain text for every scalar, no aliases, one line for every error."""

from __future__ import annotations

import yaml

from hamiltonians.errors import InputError


def yaml_node(text: str) -> yaml.Node | None:
    """The one document of a text as nodes; None where it is empty.

    Raises
    ------
    InputError : the text is not YAML, or has aliases, a few lines of which can stand for more than fits into memory.
    """
    try:
        return _WithoutAliases(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "document"
        raise InputError(f"`{place}` must be YAML, but is not: {error.problem or error.context}", place) from None
    except InputError:
        raise
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # also an escape beyond Unicode, a version too long
        raise InputError(f"`document` must be YAML, but is not: {error}", "document") from None


class _WithoutAliases(yaml.BaseLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            place = f"line {mark.line + 1}, column {mark.column + 1}"
            raise InputError(f"`{place}` must be written out, but is a YAML alias", place)
        return super().compose_node(parent, index)

"""``gradfix explain`` and ``gradfix rules``: the manual, from the codemods' docstrings."""

from __future__ import annotations

import json

import click

from gradfix import rules as all_rules

_FORMAT = click.option(
    "--output-format", type=click.Choice(["text", "json"]), default="text", show_default=True
)


@click.command()
@click.argument("code")
@_FORMAT
def explain(code: str, output_format: str) -> None:
    """Show the manual page of a rule, given by code, prefix or name."""
    codes = all_rules.resolve(code, "explain")
    pages = [rule for rule in all_rules.rules() if rule.code in codes]
    if output_format == "json":
        click.echo(json.dumps([_object(rule, whole=True) for rule in pages], indent=2))
        return
    click.echo("\n\n".join(map(_text, pages)))


@click.command()
@_FORMAT
def rules(output_format: str) -> None:
    """List all rules."""
    if output_format == "json":
        objects = [_object(rule, whole=False) for rule in all_rules.rules()]
        click.echo(json.dumps(objects, indent=2))
        return
    width = max(len(rule.name) for rule in all_rules.rules())
    for rule in all_rules.rules():
        click.echo(f"{rule.code}  {rule.name:<{width}}  {rule.summary}")


def _text(rule: all_rules.Rule) -> str:
    return f"{rule.code} {rule.name}\n\n{rule.manual.rstrip()}\n\nPage: {rule.page}"


def _object(rule: all_rules.Rule, *, whole: bool) -> dict[str, str]:
    result = {"code": rule.code, "name": rule.name, "summary": rule.summary, "page": rule.page}
    return {**result, "manual": rule.manual} if whole else result

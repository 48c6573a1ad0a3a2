"""The report as one HTML page that loads nothing and runs nothing. Pure."""

from collections.abc import Iterable, Sequence

from monitor.incidents.plain import moment, number, percent
from monitor.records import Incident
from monitor.report.article import anchor, article, table
from monitor.report.figures import (
    MOST_ROWS,
    Cost,
    accept_lengths,
    cost,
    delays,
    over_time,
    quantile,
)
from monitor.report.gather import Gathered
from monitor.report.markup import Markup, css, el, join
from monitor.report.plots import delay_plot, length_plot, time_plot
from monitor.report.style import STYLE
from monitor.version import VERSION

MOST_ARTICLES = 200
# Nothing is fetched and no script runs, whatever a name in here looks like.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(gathered: Gathered, articles: Iterable[Markup], now: float) -> str:
    """The whole file.

    Args:
        articles: of the newest incidents, as ``article`` makes them.
        now: unix time, seconds.
    """
    incidents = gathered.incidents
    oldest, newest = incidents[-1].at, incidents[0].at
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        el("meta", name="viewport", content="width=device-width"),
        el("title", "specwatch: incidents"),
        css(STYLE),
    )
    left_out = gathered.unreadable
    intro = join(
        el("h1", "Incidents"),
        el(
            "p",
            f"{len(incidents):,} from {moment(oldest)} to {moment(newest)} UTC; written "
            f"{moment(now)} by specwatch {VERSION}"
            + (f"; {left_out} records could not be read" if left_out else ""),
            class_="dim",
        ),
    )
    body = el("body", intro, *_sections(gathered), _details(incidents, articles))
    return f"<!DOCTYPE html>\n{el('html', head, body, lang='en')}\n"


def _sections(gathered: Gathered) -> list[Markup]:
    incidents = gathered.incidents
    lengths = accept_lengths(incidents, gathered.healthy)
    tokens = delays(incidents)
    parts = [_tiles(cost(incidents), len(incidents)), _over_time(incidents)]
    if any(one.healthy or one.sick for one in lengths):
        more = len(lengths) - MOST_ROWS
        caption = "A tick an attempt: above those without a finding, below (red) those with one."
        caption += f" {more} further replicas are not shown." if more > 0 else ""
        parts.append(_figure("Accept length by replica", length_plot(lengths), caption))
    if tokens:
        middle, most = quantile(tokens, 0.5), quantile(tokens, 0.95)
        caption = "Tokens from the estimated onset to the alarm: median "
        caption += f"{number(middle, 0)}, 95 % within {number(most, 0)}."
        parts.append(_figure("Detection delay", delay_plot(tokens), caption))
    return parts


def _over_time(incidents: Sequence[Incident]) -> Markup:
    data = over_time(incidents)
    caption = f"By replica, one bar every {_span(data.bin_seconds)}."
    return _figure("Incidents over time", time_plot(data), caption)


def _tiles(spent: Cost, incidents: int) -> Markup:
    added = spent.added_seconds
    told = [
        (f"{incidents:,}", "incidents"),
        (f"{spent.retries:,}", "further attempts of their requests"),
        (f"{spent.thrown_away:,}", "tokens thrown away"),
        (f"{spent.leaked:,}", "bad tokens that reached clients"),
        (number(quantile(added, 0.5), 2, " s"), "added to a request, median"),
        (number(quantile(added, 0.95), 2, " s"), "added, 95 % of them within"),
    ]
    known = sum(spent.outcomes.values())
    told += [
        (percent(count / known), f"of their requests ended {outcome}")
        for outcome, count in sorted(spent.outcomes.items(), key=lambda one: -one[1])
    ]
    tiles = (el("div", el("b", value), el("span", name), class_="tile") for value, name in told)
    return join(el("h2", "Cost"), el("div", *tiles, class_="tiles"))


def _details(incidents: Sequence[Incident], articles: Iterable[Markup]) -> Markup:
    shown = incidents[:MOST_ARTICLES]
    linked = {one.id: anchor(at) for at, one in enumerate(shown)}
    more = len(incidents) - len(shown)
    note = f"The newest {len(shown)} are told below; {more:,} older ones are only counted above."
    return join(
        el("h2", "All incidents" if more <= 0 else "The newest incidents"),
        el("p", note, class_="dim") if more > 0 else None,
        el("div", table(shown, linked), class_="wide"),
        el("h2", "One by one"),
        *articles,
    )


def _figure(title: str, plot: Markup, caption: str) -> Markup:
    return join(el("h2", title), el("figure", plot, el("figcaption", caption)))


def _span(seconds: float) -> str:
    for unit, name in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= unit and seconds % unit == 0:
            count = int(seconds // unit)
            return name if count == 1 else f"{count} {name}s"
    return f"{seconds:g} seconds"


def build_articles(incidents: Sequence[Incident]) -> Iterable[Markup]:
    """One of each of the newest, made as it is asked for: this is what takes long."""
    return (article(one, anchor(at)) for at, one in enumerate(incidents[:MOST_ARTICLES]))

"""The report's figures as Plotly figures of their own."""

from typing import TYPE_CHECKING

from orchestrator.report.document.plot import Figure

if TYPE_CHECKING:
    import plotly.graph_objects as go


def plotly_figure(figure: Figure) -> "go.Figure":
    """Return the figure with title, height and legend; in the report, the page sets these."""
    import plotly.graph_objects as go

    drawn = go.Figure(figure.plotly)
    drawn.update_layout(
        template="plotly_white",
        title={"text": figure.title, "y": 0.98, "yanchor": "top"},
        height=figure.height + 60,
        margin={"l": 60, "r": 20, "t": 90, "b": 50},
        legend={"orientation": "h", "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom"},
    )
    drawn.update_yaxes(automargin=True)
    return drawn

"""Shapes of demand as traces and metrics name them: `CPU=1`, `CPU=1,Graviton=0.5`."""


def needs_of(shape: str) -> dict[str, float]:
    """Return the resources that a shape needs of a node type; nothing if it has another form.

    Resources that Ray itself adds to nodes, and that no cluster config names, are left out.
    """
    pairs = (part.rpartition("=") for part in shape.split(","))
    try:
        return {name: float(amount) for name, _, amount in pairs if not _made_by_ray(name)}
    except ValueError:
        # not logged: the name of a shape comes from the cluster, and may have any form.
        return {}


def _made_by_ray(resource: str) -> bool:
    """Return true if nodes have a resource although no cluster config names it."""
    return resource in ("memory", "object_store_memory") or resource.startswith(
        ("node:", "bundle_", "accelerator_type:")
    )

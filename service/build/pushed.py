"""Finding what an execution pushed that did not live to tell (06 · B5)."""

from service.build.builder import Built, Order
from service.build.frontend import OPERATION_LABEL, REVISION_LABEL
from service.build.registry import Registry


async def find_pushed(registry: Registry, image: str, order: Order, build_id: str) -> Built | None:
    """Return the image of that name if this very operation pushed it: an earlier attempt's is built anew."""
    pushed = await registry.find(image)
    if pushed is None or pushed.labels.get(OPERATION_LABEL) != order.operation_id:
        return None
    return Built(image, pushed.digest, build_id, pushed.labels.get(REVISION_LABEL, ""))

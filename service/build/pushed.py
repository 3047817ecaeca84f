"""Under which name an image is pushed, and finding one whose execution did not live to tell (06 · B5)."""

from service.build.builder import Built, Order
from service.build.frontend import OPERATION_LABEL, REVISION_LABEL
from service.build.registry import Registry, RegistryAccess
from service.domain.image import image_name


def image_of(order: Order, registry: RegistryAccess) -> str:
    """Name the image that an order is pushed as."""
    return image_name(registry.url, order.builder_project, order.project_id, order.deployment_id)


async def find_pushed(registry: Registry, order: Order, build_id: str) -> Built | None:
    """Return the order's image if this very operation pushed it: an earlier attempt's is built anew."""
    image = image_of(order, registry.access)
    pushed = await registry.find(image)
    if pushed is None or pushed.labels.get(OPERATION_LABEL) != order.operation_id:
        return None
    return Built(image, pushed.digest, build_id, pushed.labels.get(REVISION_LABEL, ""))

"""What the tests of repeated operations stand on: Restate forgets an invocation, and gives its id again."""

import uuid

from tests.installation import Installation

SWEEP = "/hydra.v1.DeployService/k/ScaleDownIdlePreviewDeployments/send"


async def test_a_call_that_was_forgotten_gets_its_id_again_with_the_same_key(installation: Installation) -> None:
    header = {"idempotency-key": uuid.uuid4().hex}
    first = await installation.ingress(SWEEP, {}, headers=header)
    repeated = await installation.ingress(SWEEP, {}, headers=header)
    assert (first.body["status"], repeated.body["status"]) == ("Accepted", "PreviouslyAccepted")

    await installation.forget(first.body["invocationId"])
    again = await installation.ingress(SWEEP, {}, headers=header)

    assert (again.body["status"], again.body["invocationId"]) == ("Accepted", first.body["invocationId"])
    await installation.forget(again.body["invocationId"])

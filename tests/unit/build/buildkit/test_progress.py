from service.build.buildkit import Log, Progress, Step, Vertex


def news(
    digest: str = "sha256:1",
    started: int | None = None,
    completed: int | None = None,
    error: str = "",
    *,
    cached: bool = False,
) -> Vertex:
    return Vertex(digest, f"name of {digest}", started, completed, cached, error)


def steps_of(*told: Vertex | Log) -> list[Step]:
    progress = Progress()
    for one in told:
        if isinstance(one, Log):
            progress.on_log(one)
        else:
            progress.on_vertex(one)
    return progress.steps()


def step(started: int, completed: int, error: str = "", *, cached: bool = False, has_logs: bool = False) -> Step:
    return Step("sha256:1", "name of sha256:1", started, completed, cached, error, has_logs)


def test_a_step_is_announced_begins_and_completes() -> None:
    assert steps_of(news(), news(started=10), news(started=10, completed=20)) == [step(10, 20)]


def test_a_step_that_completes_twice_spans_both_runs() -> None:
    """The git step completes when the commit is known, and again when it is fetched."""
    told = news(started=10, completed=10), news(started=11), news(started=11, completed=500)
    assert steps_of(*told) == [step(10, 500)]


def test_a_step_that_has_not_completed_is_left_out() -> None:
    assert steps_of(news(), news("sha256:2", started=10)) == []


def test_a_step_that_began_again_keeps_its_first_completion() -> None:
    assert steps_of(news(started=10, completed=20), news(started=30)) == [step(10, 20)]


def test_a_step_that_never_began_began_when_it_completed() -> None:
    assert steps_of(news(completed=20)) == [step(20, 20)]


def test_a_step_at_the_beginning_of_time_has_begun() -> None:
    assert steps_of(news(started=0, completed=20)) == [step(0, 20)]


def test_whether_a_step_was_cached_is_known_at_the_end() -> None:
    told = news(started=10, completed=10), news(started=10, completed=10, cached=True)
    assert steps_of(*told) == [step(10, 10, cached=True)]


def test_an_error_is_not_forgotten_and_the_last_one_counts() -> None:
    told = [news(started=10, completed=20, error="first"), news(started=10, completed=21, error="last")]
    assert steps_of(*told, news(started=10, completed=22)) == [step(10, 22, "last")]


def test_steps_are_in_the_order_in_which_they_began() -> None:
    told = news("sha256:late", 30, 40), news("sha256:never", None, 20), news("sha256:early", 10, 50)
    assert [step.digest for step in steps_of(*told)] == ["sha256:early", "sha256:never", "sha256:late"]


def test_steps_that_began_together_are_in_the_order_in_which_they_were_named() -> None:
    told = news("sha256:b"), news("sha256:a"), news("sha256:a", 10, 20), news("sha256:b", 10, 20)
    assert [step.digest for step in steps_of(*told)] == ["sha256:b", "sha256:a"]


def test_a_step_has_logs_when_it_wrote_some() -> None:
    told = Log("sha256:1", 15, "out\n"), news(started=10, completed=20), news("sha256:2", 11, 20)
    assert [step.has_logs for step in steps_of(*told)] == [True, False]

from __future__ import annotations

from dataclasses import replace

from pages import MEASURES, make_facts, make_variant

from textapp.report.facts import Facts, RunFacts
from textapp.report.findings import compared, faster, findings, method_words, pareto_front

PLAIN = make_variant()
PRUNED_SIZES = {"file_bytes": 4_000_000, "gzip_bytes": 1_161_290, "parameters": 1_000_000, "nonzero": 200_000}


def test_pruning_is_told_as_a_smaller_packed_file_and_no_speed() -> None:
    found = compared("prune", make_variant(p50=2.05, accuracy=89.7, sizes=PRUNED_SIZES), PLAIN, MEASURES)
    assert found.sentence() == (
        "Brought: the file packed by gzip is 3.1 times smaller (1.2 MB, before 3.6 MB). "
        "Did not bring: a smaller file (4.0 MB, before 4.0 MB); faster answers (2.05 ms, before 2 ms), although "
        "80 % of the parameters are zero, since this runtime multiplies zeros, too. "
        "Accuracy 89.70, before 90.00: inside the interval of 88.00 to 92.00 that chance in the choice of examples "
        "gives."
    )


def test_the_sentence_follows_the_figures_and_not_the_method() -> None:
    found = compared("prune", make_variant(p50=1.0, accuracy=80.0, sizes=PRUNED_SIZES), PLAIN, MEASURES)
    assert found.gained[-1] == "answers are 2.0 times as fast (1 ms, before 2 ms)"
    assert found.cost == "Accuracy 80.00, before 90.00: worse by 10.00"
    slower = compared("grown", make_variant(p50=4.0, sizes={"file_bytes": 8_000_000}), PLAIN, MEASURES)
    assert slower.sentence() == (
        "Brought: nothing that was measured. Did not bring: a smaller file: it is 2.0 times larger (8.0 MB, before "
        "4.0 MB); faster answers: they take 2.0 times as long (4 ms, before 2 ms). The same accuracy, 90.00."
    )


def test_of_perplexity_less_is_better() -> None:
    new, old = (make_variant(quality={"perplexity": value}, intervals={}) for value in (5.0, 5.5))
    assert (
        compared("", new, old, {"perplexity": "perplexity"}).cost == "Perplexity 5.000, before 5.500: better by 0.500"
    )


def test_what_was_measured_at_different_times_or_on_other_data_is_not_compared() -> None:
    later = make_variant(p50=0.1, data="mine.csv", measured={"measured": "2026-01-03T00:00:00Z"})
    found = compared("", later, PLAIN, MEASURES)
    assert found.gained == [] and found.cost == "" and len(found.not_gained) == 2  # the sizes alone


def test_a_tenth_is_no_speed() -> None:
    assert faster(2.0, 1.9) == (False, "faster answers (1.9 ms, before 2 ms)")
    assert faster(2.0, 1.0)[0]


def test_the_front_has_what_no_other_point_beats() -> None:
    assert pareto_front([(1, 80), (2, 90), (3, 85)]) == [0, 1]
    assert pareto_front([(3, 95), (1, 80), (2, 80), (2, 90), (3, 95)]) == [1, 3, 0, 4]
    assert pareto_front([]) == []


def test_a_compressed_run_is_compared_with_its_parent_if_that_is_given_too() -> None:
    parent = RunFacts("base", {"task": "x"}, "abc", variants=[make_variant("keras float32", "base")])
    recipe = {"steps": [{"method": "prune", "m_by_n": [2, 4]}, {"method": "cluster", "clusters": 16, "epochs": 3}]}
    metrics = {
        "compression": {
            "recipe": recipe,
            "sizes": PRUNED_SIZES,
            "before": {"sizes": PLAIN.sizes, "test": {"accuracy": 90.0}},
        },
        "test": {"accuracy": 88.0},
    }
    pruned = make_variant("keras float32", "small", p50=2.0, sizes=PRUNED_SIZES)
    child = RunFacts(
        "small", {"task": "x", "parent": {"run": "base", "sha256": "abc"}}, "def", metrics=metrics, variants=[pruned]
    )
    (found,) = findings(Facts([parent, child], MEASURES))
    assert found.subject == "prune (m by n 2:4), then cluster (clusters 16): small · keras float32, against base"
    (other,) = findings(Facts([replace(parent, data=["a"]), replace(child, data=["b"])], MEASURES))
    assert "against base as keras float32" in other.subject  # on other data: what the compression measured itself
    (alone,) = findings(Facts([child], MEASURES))
    assert alone.gained == ["the file packed by gzip is 3.1 times smaller (1.2 MB, before 3.6 MB)"]
    assert alone.cost == "Accuracy 88.00, before 90.00: worse by 2.00"
    assert "against base as keras float32" in alone.subject
    metrics["test"] = {"accuracy": 88.0, "examples": 150}  # of which 2 points are three
    (alone,) = findings(Facts([child], MEASURES))
    assert alone.cost.startswith("Accuracy 88.00, before 90.00: inside the interval of 8")


def test_exports_are_compared_with_the_float32_file_and_that_with_keras() -> None:
    subjects = [each.subject for each in findings(make_facts())]
    assert subjects == ["run · litert float32, against keras float32", "run · litert int8, against litert float32"]
    facts = make_facts()
    run = replace(facts.runs[0], variants=[each for each in facts.runs[0].variants if each.name != "litert float32"])
    assert [each.subject for each in findings(Facts([run], MEASURES))] == [
        "run · litert int8, against keras float32, as there is no float32 file"
    ]


def test_an_export_is_compared_with_the_float32_one_of_its_own_target() -> None:
    run = make_facts().runs[0]
    served = [make_variant(f"saved_model {format}") for format in ("int8-weights", "float32")]
    subjects = [each.subject for each in findings(Facts([replace(run, variants=[*run.variants, *served])], MEASURES))]
    assert subjects[-2:] == [
        "run · saved_model int8-weights, against saved_model float32",
        "run · saved_model float32, against keras float32",
    ]


def test_a_method_of_later_versions_is_named() -> None:
    assert method_words([{"method": "fold", "rate": 3}, {}]) == "fold, then a method"

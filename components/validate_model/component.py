"""Gate: does the model meet the policy, and is it no worse than the champion?"""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from hemix.components.steps import image_of


@dsl.component(base_image=image_of("validate_model"), install_kfp_package=False)
def validate_model(
    policy: str,
    champion: str,
    revision: str,
    model: Input[Model],
    evaluation: Input[Artifact],
    transformed: Input[Dataset],
    verdict: Output[Artifact],
) -> bool:
    """Gate: does the model meet the policy, and is it no worse than the champion?"""
    from pathlib import Path

    from hemix.components.process import step_process
    from hemix.components.validate_model.step import run
    from hemix.storage import local_copy

    with step_process():
        policy_file = Path(verdict.path).with_name("policy.yaml")
        policy_file.write_text(policy)
        decision = run(
            policy=policy_file if policy else None,
            model=Path(model.path),
            evaluation=Path(evaluation.path),
            transformed=Path(transformed.path),
            champion=local_copy(champion) if champion else None,
            out_verdict=Path(verdict.path),
        )
    return decision.passed

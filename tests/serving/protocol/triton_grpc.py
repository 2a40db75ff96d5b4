"""Ask an endpoint by tritonclient over gRPC: ``python -m tests.serving.protocol.triton_grpc REQUEST``.

A process of its own, because tritonclient and kserve each define the protocol's messages, and protobuf
takes only one definition. ``REQUEST`` is JSON: address, inputs (name to whole numbers), outputs (names
or null), compression. Prints JSON: the outputs by name, or what was refused; and the metadata.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import tritonclient.grpc as triton


def main(request: dict[str, Any]) -> dict[str, Any]:
    client = triton.InferenceServerClient(request["address"])
    inputs = []
    for name, values in request["inputs"].items():
        tensor = triton.InferInput(name, [len(values)], "INT64")
        tensor.set_data_from_numpy(np.array(values, np.int64))
        inputs.append(tensor)
    wanted = request["outputs"]
    outputs = None if wanted is None else [triton.InferRequestedOutput(name) for name in wanted]
    metadata = client.get_model_metadata("ranker")
    found: dict[str, Any] = {
        "platform": metadata.platform,
        "versions": list(metadata.versions),
        "ready": [client.is_model_ready("ranker", v) for v in ("", *metadata.versions)],
        "live": client.is_server_live() and client.is_server_ready(),
    }
    for name, version in (("other", ""), ("ranker", "none")):
        try:
            client.get_model_metadata(name, version)
        except triton.InferenceServerException as error:
            found[f"{name}/{version}"] = [error.status(), error.message()]
    try:
        answer = client.infer(
            "ranker", inputs, outputs=outputs, compression_algorithm=request["compression"]
        )
    except triton.InferenceServerException as error:
        return {**found, "refused": [error.status(), error.message()]}
    names = [output.name for output in answer.get_response().outputs]
    arrays = {name: answer.as_numpy(name).ravel().tolist() for name in names}
    texts = {n: [v.decode() if isinstance(v, bytes) else v for v in a] for n, a in arrays.items()}
    return {**found, "outputs": texts}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))

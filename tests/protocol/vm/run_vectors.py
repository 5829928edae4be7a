"""Runs vector files, and prints for each how many vectors and how many runs of a decoder there were."""

import gc
import json
import sys

from tests.protocol.vm.vector_runner import run_file

print(sys.implementation.name)
for path in sys.argv[1:]:
    vectors, runs = run_file(path)
    print(json.dumps([path.split("/")[-1], vectors, runs]))
    gc.collect()

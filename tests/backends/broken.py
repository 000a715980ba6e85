"""A program that answers well, until the operation in its argument: then it breaks that way."""

import json
import os
import sys
import time

WAYS = sys.argv[1]
greeted = False

for line in sys.stdin:
    request = json.loads(line)
    outputs = {"y": request["inputs"].get("x"), "dx": request["inputs"].get("dy")}
    if request["op"] == "hello":
        outputs = {"name": "broken", "dtype": "float64", "capabilities": ["relu"]}
        if WAYS == "no-dtype":
            del outputs["dtype"]
        greeted = True
    elif not greeted:
        sys.exit("was not asked who it is")
    elif WAYS == "dies":
        sys.exit("out of memory")
    elif WAYS == "talks":
        sys.stderr.write("nothing new\n" * 10**6)
        sys.exit("out of words")
    elif WAYS == "closes":
        os.close(1)
        time.sleep(60)
    elif WAYS == "hangs":
        time.sleep(60)
    elif WAYS == "rubbish":
        print("debug: here")
    elif WAYS == "wrong-id":
        request["id"] += 1
    elif WAYS == "nan":
        outputs["y"]["data"][3] = None
    elif WAYS == "short":
        outputs["y"]["data"].pop()
    elif WAYS == "misspelt":
        outputs["z"] = outputs.pop("y")
    answer = {"id": request["id"], "outputs": outputs}
    if WAYS == "no-outputs" and request["op"] != "hello":
        del answer["outputs"]
    if WAYS == "unsupported" and request["op"] != "hello":
        answer = {"id": request["id"], "unsupported": "not today"}
    print(json.dumps(answer), flush=True)

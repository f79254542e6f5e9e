# SPDX-License-Identifier: Apache-2.0
"""An online regression service: learns how long a simulation of a given box takes.

POST /train    {"x": 12, "y": 16, "z": 9, "seconds": 1.83, "id": "run-7"}, or a list of them
               -> {"samples": N}; a sample whose id is known already is ignored; no id: a new one
POST /predict  {"x": 12, "y": 16, "z": 9}, or a list of them
               -> {"model": NAME, "predictions": [{"seconds": S, "by_model": {NAME: S, ...}}, ...]}
GET  /metrics  samples seen, the chosen model, each model's progressive error
GET  /samples  all samples, as /train takes them
GET  /healthz  200 once the service can answer

Each sample is first predicted, then learned (progressive validation), so that every model has an
error that was never fitted to; the model with the smallest one answers.

All state is in memory. The replicas, the addresses of the headless Service $REPLICAS, tell each
other what they learn (POST /replicate), and a new one asks the others for what there was before it.
"""

import json
import logging
import math
import os
import signal
import socket
import threading
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from river import compose, forest, linear_model, metrics, preprocessing

SIZES = ("x", "y", "z")
MAX_BODY = 1 << 20  # bytes
WARM_UP = 3  # samples before a model's error counts: none can know anything earlier


def box_terms(size):
    """Cost model of a short-range simulation: a constant, the cells, the surface (the exchange)."""
    x, y, z = (size[name] for name in SIZES)
    return {"one": 1.0, "cells": x * y * z / 1e4, "surface": (x * y + y * z + z * x) / 1e3}


def log_cells(size):
    return {"one": 1.0, "log_cells": math.log(size["x"] * size["y"] * size["z"] / 1e3)}


class LogSeconds:
    """A regressor of log(seconds): errors count relative to the run's length."""

    def __init__(self, regressor):
        self.regressor = regressor

    def predict_one(self, size):
        return math.exp(min(self.regressor.predict_one(size), 20.0))

    def learn_one(self, size, seconds):
        self.regressor.learn_one(size, math.log(seconds))


def new_models():
    # A weak prior (alpha) against the noise (beta): a dozen samples already decide.
    def bayesian():
        return linear_model.BayesianLinearRegression(alpha=0.01, beta=10.0)

    return {
        "bayesian_cost": compose.FuncTransformer(box_terms) | bayesian(),
        "bayesian_power_law": LogSeconds(compose.FuncTransformer(log_cells) | bayesian()),
        "linear_sgd": compose.FuncTransformer(box_terms)
        | preprocessing.StandardScaler()
        | linear_model.LinearRegression(intercept_lr=0.3),
        "random_forest": forest.ARFRegressor(n_models=10, grace_period=5, seed=1),
    }


class Learner:
    """The models and their progressive errors. Any thread."""

    def __init__(self):
        self._lock = threading.Lock()
        self._models = new_models()
        self._errors = {name: metrics.MAE() for name in self._models}
        self._samples = {}  # by id, in the order in which they were learned

    def train(self, samples):
        """Learns what is new; returns that, and how many samples there are now."""
        with self._lock:
            new = [sample for sample in samples if sample["id"] not in self._samples]
            for sample in new:
                self._learn({name: sample[name] for name in SIZES}, sample["seconds"])
                self._samples[sample["id"]] = sample
            return new, len(self._samples)

    def _learn(self, size, seconds):
        for name, model in self._models.items():
            if len(self._samples) >= WARM_UP:
                self._errors[name].update(seconds, model.predict_one(size))
            model.learn_one(size, seconds)

    def samples(self):
        with self._lock:
            return list(self._samples.values())

    def predict(self, sizes):
        with self._lock:
            best = self._best()
            predictions = []
            for size in sizes:
                by_model = {n: max(0.0, m.predict_one(size)) for n, m in self._models.items()}
                predictions.append({"seconds": by_model[best], "by_model": by_model})
            return {"model": best, "samples": len(self._samples), "predictions": predictions}

    def metrics(self):
        with self._lock:
            errors = {name: error.get() for name, error in self._errors.items()}
            return {"samples": len(self._samples), "model": self._best(), "progressive_mae": errors}

    def _best(self):
        return min(self._errors, key=lambda name: self._errors[name].get())


class Replicas:
    """The other pods of the service. Any thread. One that does not answer has to ask later."""

    TIMEOUT = 5  # seconds

    def __init__(self, name, own_address, port):
        self._name, self._own, self._port = name, own_address, port

    def _others(self):
        if not self._name:
            return []
        try:
            found = socket.getaddrinfo(self._name, self._port, socket.AF_INET, socket.SOCK_STREAM)
        except OSError as error:
            logging.warning("find the replicas at %s: %s", self._name, error)
            return []
        return sorted({address for *_, (address, _) in found} - {self._own})

    def _request(self, address, path, data=None):
        url = f"http://{address}:{self._port}{path}"
        try:
            with urllib.request.urlopen(url, data, self.TIMEOUT) as answer:
                return json.load(answer)
        except (OSError, ValueError) as error:
            logging.warning("%s: %s", url, error)
            return None

    def tell(self, samples):
        for address in self._others() if samples else []:
            self._request(address, "/replicate", json.dumps(samples).encode())

    def ask(self):
        """What the others know; a sample may be there several times."""
        answers = [self._request(address, "/samples") for address in self._others()]
        return [sample for answer in answers if answer for sample in answer]


class BadRequest(Exception):
    pass


def positive(item, name):
    value = item.get(name) if isinstance(item, dict) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadRequest(f"'{name}' must be a number, in {json.dumps(item)[:200]}")
    if not (math.isfinite(value) and 0 < value < 1e9):
        raise BadRequest(f"'{name}' must be positive and below 1e9, not {value}")
    return float(value)


def size_of(item):
    return {name: positive(item, name) for name in SIZES}


def sample_of(item):
    sample = {**size_of(item), "seconds": positive(item, "seconds")}
    key = item.get("id", uuid.uuid4().hex)
    if not isinstance(key, str) or not 0 < len(key) <= 100:
        raise BadRequest(f"'id' must be a string of 1 to 100 characters, not {json.dumps(key)[:200]}")
    return {**sample, "id": key}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    learner = Learner()
    replicas = Replicas("", "", 0)

    def do_GET(self):
        routes = {
            "/healthz": lambda: {"status": "ok"},
            "/metrics": self.learner.metrics,
            "/samples": self.learner.samples,
        }
        self._answer(routes, lambda action: action())

    def do_POST(self):
        routes = {
            "/train": self._train,
            "/replicate": lambda items: {"samples": self.learner.train(map(sample_of, items))[1]},
            "/predict": lambda items: self.learner.predict([size_of(item) for item in items]),
        }
        self._answer(routes, lambda action: action(self._items()))

    def _train(self, items):
        new, count = self.learner.train([sample_of(item) for item in items])
        self.replicas.tell(new)
        return {"samples": count}

    def _items(self):
        try:
            body = json.loads(self._body())
        except ValueError as error:
            raise BadRequest(f"the body is not JSON: {error}") from None
        return body if isinstance(body, list) else [body]

    def _body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(self._chunks())  # what `kubectl create --raw` sends
        return self.rfile.read(self._length(self.headers.get("Content-Length", ""), 10))

    def _chunks(self):
        total = 0
        while size := self._length(self.rfile.readline(1024).split(b";")[0], 16):
            total = self._length(str(total + size), 10)
            yield self.rfile.read(size)
            self.rfile.readline(1024)
        while self.rfile.readline(1024).strip():  # trailers
            pass

    @staticmethod
    def _length(text, base):
        try:
            length = int(text, base)
        except ValueError:
            raise BadRequest("a Content-Length or chunks are needed") from None
        if not 0 <= length <= MAX_BODY:
            raise BadRequest(f"the body must have at most {MAX_BODY} bytes, not {length}")
        return length

    def _answer(self, routes, call):
        action = routes.get(self.path.split("?")[0])
        if action is None:
            self._send(404, {"error": f"no such path; there are {', '.join(routes)}"})
            return
        try:
            self._send(200, call(action))
        except BadRequest as error:
            self._send(400, {"error": str(error)})

    def _send(self, status, body):
        data = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if status != 200:  # the body may be unread
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format, *args):  # noqa: A002 (the base class's name)
        if self.path != "/healthz":
            logging.info(format, *args)


def main():
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    port = int(os.environ.get("PORT", "8080"))
    server = ThreadingHTTPServer(("", port), Handler)  # listens: what comes from now on is not lost
    Handler.replicas = Replicas(os.environ.get("REPLICAS"), os.environ.get("POD_ADDRESS"), port)
    known = Handler.learner.train(map(sample_of, Handler.replicas.ask()))[1]
    logging.info("the other replicas knew %d samples", known)
    # PID 1 of a container ignores SIGTERM unless it asks for it.
    stop = threading.Thread(target=server.shutdown)
    signal.signal(signal.SIGTERM, lambda *_: stop.start())
    logging.info("listening on port %d", server.server_port)
    server.serve_forever()


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""An online regression service: learns how long a simulation of a given box takes.

POST /train    {"x": 12, "y": 16, "z": 9, "seconds": 1.83}, or a list of them -> {"samples": N}
POST /predict  {"x": 12, "y": 16, "z": 9}, or a list of them
               -> {"model": NAME, "predictions": [{"seconds": S, "by_model": {NAME: S, ...}}, ...]}
GET  /metrics  samples seen, the chosen model, each model's progressive error
GET  /healthz  200 once the service can answer

Each sample is first predicted, then learned (progressive validation), so that every model has an
error that was never fitted to; the model with the smallest one answers. All state is in memory: a
restarted pod starts with no samples, which /metrics shows.
"""

import json
import logging
import math
import os
import signal
import threading
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
        self._samples = 0

    def train(self, samples):
        with self._lock:
            for size, seconds in samples:
                for name, model in self._models.items():
                    if self._samples >= WARM_UP:
                        self._errors[name].update(seconds, model.predict_one(size))
                    model.learn_one(size, seconds)
                self._samples += 1
            return {"samples": self._samples}

    def predict(self, sizes):
        with self._lock:
            best = self._best()
            predictions = []
            for size in sizes:
                by_model = {n: max(0.0, m.predict_one(size)) for n, m in self._models.items()}
                predictions.append({"seconds": by_model[best], "by_model": by_model})
            return {"model": best, "samples": self._samples, "predictions": predictions}

    def metrics(self):
        with self._lock:
            errors = {name: error.get() for name, error in self._errors.items()}
            return {"samples": self._samples, "model": self._best(), "progressive_mae": errors}

    def _best(self):
        return min(self._errors, key=lambda name: self._errors[name].get())


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
    return size_of(item), positive(item, "seconds")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    learner = Learner()

    def do_GET(self):
        routes = {"/healthz": lambda: {"status": "ok"}, "/metrics": self.learner.metrics}
        self._answer(routes, lambda action: action())

    def do_POST(self):
        routes = {
            "/train": lambda items: self.learner.train([sample_of(item) for item in items]),
            "/predict": lambda items: self.learner.predict([size_of(item) for item in items]),
        }
        self._answer(routes, lambda action: action(self._items()))

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
    server = ThreadingHTTPServer(("", port), Handler)
    # PID 1 of a container ignores SIGTERM unless it asks for it.
    stop = threading.Thread(target=server.shutdown)
    signal.signal(signal.SIGTERM, lambda *_: stop.start())
    logging.info("listening on port %d", server.server_port)
    server.serve_forever()


if __name__ == "__main__":
    main()

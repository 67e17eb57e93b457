# SPDX-License-Identifier: Apache-2.0
"""A Celery application with one task that does nothing; HD_PEERS_BROKER is RabbitMQ's address."""
import os

from celery import Celery

app = Celery("noop", broker=os.environ["HD_PEERS_BROKER"], backend="rpc://")


@app.task
def evaluate(config):
    return config["a"]

"""A server under attack: what it costs, and what others see meanwhile."""

import threading
import time

import grpc
import numpy as np

from process_usage import cpu_seconds, resident_bytes
from server_process import ServerProcess, load_stubs

MIB = 1 << 20
CEILING_MIB = 300


def resident_mib(pid):
    return resident_bytes(pid) / MIB


class Observed:
    """Watches memory, and calls like an ordinary client, until it is left.

    Afterwards: `peak_mib` above idle, `cpu` seconds, `answers` that came meanwhile
    and were right, `faults` for those that were not, `slowest` of them in seconds.
    `others` are further processes whose memory counts, such as a proxy's.
    """

    def __init__(self, server, address=None, others=(), bystander=True):
        self.server = server
        self.pids = [server.process.pid, *others]
        self.address = address or server.address
        self.bystander = bystander
        self.answers = 0
        self.faults = []
        self.slowest = 0
        self._begun = threading.Event()
        self._over = threading.Event()
        messages, services = load_stubs()
        reals = np.linspace(-1, 1, 1000, dtype="<f4")
        self._request = messages.QuantizeRequest(
            tensor=messages.Tensor(dtype=1, shape=[1000], data=reals.tobytes()))
        self._services = services
        # Warm: what the first calls need belongs to idling.
        with self._channel() as channel:
            self._right = services.QuantizationServiceStub(channel).Quantize(self._request)

    def _channel(self):
        return grpc.insecure_channel(self.address, options=[("grpc.use_local_subchannel_pool", 1)])

    def __enter__(self):
        self.idle = [resident_mib(pid) for pid in self.pids]
        self.peaks = list(self.idle)
        self._cpu = cpu_seconds(self.pids[0])
        self._threads = [threading.Thread(target=self._watch)]
        if self.bystander:
            self._threads.append(threading.Thread(target=self._call))
        for thread in self._threads:
            thread.start()
        # An ordinary client was there before the attack.
        assert not self.bystander or self._begun.wait(20)
        return self

    def __exit__(self, *_):
        time.sleep(0.3)  # what comes late counts, too
        self._over.set()
        for thread in self._threads:
            thread.join()
        self.cpu = cpu_seconds(self.pids[0]) - self._cpu
        self.peak_mib = max(peak - idle for peak, idle in zip(self.peaks, self.idle))

    def _watch(self):
        while not self._over.wait(0.005):
            self.peaks = [max(peak, resident_mib(pid)) for peak, pid in zip(self.peaks, self.pids)]

    def _call(self):
        with self._channel() as channel:
            service = self._services.QuantizationServiceStub(channel)
            while not self._over.wait(0.02):
                begin = time.monotonic()
                try:
                    reply = service.Quantize(self._request, timeout=20)
                    if reply != self._right:
                        self.faults.append("a wrong answer")
                    self.answers += 1
                    self._begun.set()
                except grpc.RpcError as error:
                    self.faults.append(f"{error.code().name}: {error.details()}")
                self.slowest = max(self.slowest, time.monotonic() - begin)

    def new_connection_answers(self):
        with self._channel() as channel:
            reply = self._services.QuantizationServiceStub(channel).Quantize(self._request, timeout=10)
            return reply == self._right

    def check(self, name, cpu_max, ceiling_mib=CEILING_MIB):
        print(f"{name}: {self.peak_mib:.0f} MiB above idle, {self.cpu:.2f} s of CPU, "
              f"{self.answers} answers meanwhile, the slowest after {1000 * self.slowest:.0f} ms")
        assert not self.faults, self.faults
        assert self.answers > 0 or not self.bystander
        assert self.peak_mib <= ceiling_mib
        assert self.cpu <= cpu_max
        assert self.server.process.poll() is None
        assert self.new_connection_answers()


def start(*flags, **arguments):
    return ServerProcess("--admin-listen=off", *flags, **arguments)

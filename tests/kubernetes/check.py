"""docker/kubernetes against the schemas of Kubernetes, and against the server.

Strictly: a field that the schema does not know is a fault. Each version is one that
was current when this was written, or is the oldest with all kinds in use here.
"""

import pathlib
import re
import sys

import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docker" / "kubernetes"
KINDS = {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget",
         "NetworkPolicy"}
# From the end of draining to the end of the process.
MARGIN_SECONDS = 10
faults = []


def expect(holds, what):
    print(f"{'ok' if holds else 'FAULT'}: {what}")
    if not holds:
        faults.append(what)


def fails(manifest, version):
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return error.message
    return None


def check_schemas(manifests, versions):
    for name, manifest in manifests.items():
        for version in versions:
            fault = fails(manifest, version)
            expect(fault is None, f"{name} in Kubernetes {version}{': ' + fault if fault else ''}")
        # That the check can fail.
        broken = yaml.safe_load(yaml.safe_dump(manifest))
        broken["spec"]["replicass"] = 3
        expect(fails(broken, versions[-1]) is not None, f"{name} with a wrong field is refused")


def check_agreement(manifests):
    deployment = manifests["deployment.yaml"]["spec"]["template"]
    pod = deployment["spec"]
    container = pod["containers"][0]
    flags = dict(re.fullmatch(r"--([a-z-]+)(?:=(.*))?", flag).groups()
                 for flag in container["args"])
    settings = (ROOT / "server" / "settings" / "settings.cc").read_text(encoding="utf-8")
    for flag in flags:
        expect(f'"{flag.replace("-", "_")}"' in settings, f"--{flag} is a setting")
    needed = int(flags["drain-delay"]) + int(flags["drain-timeout"]) + MARGIN_SECONDS
    grace = pod["terminationGracePeriodSeconds"]
    expect(grace >= needed, f"{grace} s of grace, {needed} s needed")
    probe = container["readinessProbe"]
    unready = probe["periodSeconds"] * probe["failureThreshold"]
    expect(int(flags["drain-delay"]) > 2 * unready,
           f"{flags['drain-delay']} s until calls are refused, {unready} s until that is seen")
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    expect(environment["HALFSTEP_LISTEN"].endswith(f":{ports['grpc']}"), "the port of calls")
    expect(environment["HALFSTEP_ADMIN_LISTEN"].endswith(f":{ports['admin']}"), "the admin port")
    allowed = {port["port"] for rule in manifests["network_policy.yaml"]["spec"]["ingress"]
               for port in rule["ports"]}
    expect(allowed == set(ports.values()), f"the policy lets in {sorted(allowed)}")
    labels = deployment["metadata"]["labels"]
    for name, selector in [
            ("deployment.yaml", ["spec", "selector", "matchLabels"]),
            ("service.yaml", ["spec", "selector"]),
            ("pod_disruption_budget.yaml", ["spec", "selector", "matchLabels"]),
            ("network_policy.yaml", ["spec", "podSelector", "matchLabels"])]:
        found = manifests[name]
        for key in selector:
            found = found[key]
        expect(found.items() <= labels.items(), f"{name} selects the servers")
    expect(manifests["service.yaml"]["spec"]["clusterIP"] == "None", "the service is headless")
    metric = manifests["horizontal_pod_autoscaler.yaml"]["spec"]["metrics"][0]["pods"]["metric"]
    metrics = (ROOT / "server" / "telemetry" / "metrics.cc").read_text(encoding="utf-8")
    expect(f'"{metric["name"]}"' in metrics, f"{metric['name']} is a metric of the server")
    security = {**pod["securityContext"], **container["securityContext"]}
    expect(security["runAsNonRoot"] and security["readOnlyRootFilesystem"]
           and not security["allowPrivilegeEscalation"]
           and security["capabilities"]["drop"] == ["ALL"]
           and security["seccompProfile"]["type"] == "RuntimeDefault", "the security context")
    user = re.search(r"^USER (\d+)", (ROOT / "docker" / "Dockerfile").read_text(), re.MULTILINE)
    expect(security["runAsUser"] == int(user.group(1)), "the user is the image's")


def main():
    manifests = {path.name: yaml.safe_load(path.read_text(encoding="utf-8"))
                 for path in sorted(FOLDER.glob("*.yaml"))}
    expect({manifest["kind"] for manifest in manifests.values()} == KINDS, f"kinds {sorted(KINDS)}")
    versions = ["1.25", kubernetes_validate.latest_version()]
    check_schemas(manifests, versions)
    check_agreement(manifests)
    print(f"kubernetes: {len(manifests)} manifests, {len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()

"""Whether the parts of deploy/ fit together: names, ports, files and addresses that one file says
and another one must have. Prints what does not fit, one finding a line."""

import pathlib
import re
import sys

import yaml

deploy = pathlib.Path(sys.argv[1])
faults = []


def check(good, fault):
    if not good:
        faults.append(fault)


def labels_fit(selector, labels):
    return selector and all(labels.get(key) == value for key, value in selector.items())


def kubernetes(folder):
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    documents = []
    for name in kustomization["resources"]:
        documents += [d for d in yaml.safe_load_all((folder / name).read_text()) if d]
    present = {p.name for p in folder.glob("*.yaml")} - {"kustomization.yaml"}
    check(present == set(kustomization["resources"]), f"kustomization.yaml lists not {present}")
    maps = {}
    for generator in kustomization["configMapGenerator"]:
        keys = [entry.split("=") for entry in generator["files"]]
        for key in keys:
            check((folder / key[-1]).is_file(), f"{key[-1]} does not exist")
        maps[generator["name"]] = {key[0] for key in keys}
    kinds = {}
    for document in documents:
        check("apiVersion" in document, f"no apiVersion: {document}")
        kinds.setdefault(document["kind"], {})[document["metadata"]["name"]] = document
    (stateful,) = kinds["StatefulSet"].values()
    spec = stateful["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    labels = spec["template"]["metadata"]["labels"]
    check(labels_fit(spec["selector"]["matchLabels"], labels), "the StatefulSet selects others")
    check(spec["podManagementPolicy"] == "Parallel", "the cluster could not start after a stop")

    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    services = kinds["Service"]
    check(spec["serviceName"] in services, "the StatefulSet's service does not exist")
    headless = services[spec["serviceName"]]["spec"]
    check(headless["clusterIP"] == "None", "the service of the nodes is not headless")
    check(headless["publishNotReadyAddresses"], "nodes that are not ready could not be found")
    for name, service in services.items():
        check(labels_fit(service["spec"]["selector"], labels), f"service {name} selects nothing")
        for port in service["spec"]["ports"]:
            check(port["targetPort"] in ports, f"service {name}: no port {port['targetPort']}")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        check(container[probe]["httpGet"]["port"] in ports, f"{probe}: no such port")
    check(container["readinessProbe"]["httpGet"]["path"] == "/health/ready", "readiness")
    check(container["lifecycle"]["preStop"]["exec"]["command"] == ["mtactl", "drain"], "preStop")
    check(pod["terminationGracePeriodSeconds"] >= 180, "the grace is too short for a drain")

    claims = {claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for mount in container["volumeMounts"]:
        check(mount["name"] in claims | set(volumes), f"no volume {mount['name']}")
    job = kinds["Job"]["convoy-found"]["spec"]["template"]["spec"]
    renewal = kinds["CronJob"]["convoy-renew"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    check(renewal == job, "the renewal is another job")
    for volume in [*volumes.values(), *job["volumes"]]:
        if "configMap" in volume:
            check(volume["configMap"]["name"] in maps, f"no ConfigMap {volume['configMap']}")
    check(job["serviceAccountName"] in kinds["ServiceAccount"], "the Job's account does not exist")
    (budget,) = kinds["PodDisruptionBudget"].values()
    check(labels_fit(budget["spec"]["selector"]["matchLabels"], labels), "the budget is for others")
    anti = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    check(labels_fit(anti[0]["labelSelector"]["matchLabels"], labels), "pods may share a machine")
    (policy,) = kinds["NetworkPolicy"].values()
    for rule in policy["spec"]["ingress"]:
        for port in rule["ports"]:
            check(port["port"] in ports, f"network policy: no port {port['port']}")
    listens((folder / "node.conf").read_text(), "kubernetes", ports.values())
    claimed = "".join(e.get("value", "") for e in container["env"])
    check(f":{ports['cluster']}" in claimed, "peers are asked at another port")


def listens(text, where, ports):
    """The node's configuration opens exactly these ports."""
    lines = (line.split("#")[0] for line in text.splitlines())
    listener = re.compile(r"^(?:smtp|cluster|health)-listener \S+:(\d+)")
    opened = {int(found[1]) for found in map(listener.match, lines) if found}
    check(opened == set(ports), f"{where}: the node listens on {opened}, not on {set(ports)}")


def compose(folder):
    document = yaml.safe_load((folder / "compose.yaml").read_text())
    services, volumes = document["services"], document["volumes"]
    for name, service in services.items():
        for other in service.get("depends_on", []):
            check(other in services, f"{name} depends on {other}, which does not exist")
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            there = (folder / source).exists() if source.startswith(".") else source in volumes
            check(there, f"{name}: {source} does not exist")
    nodes = [name for name, s in services.items() if "CONVOY_HOST" in s.get("environment", {})]
    founders = []
    for name in nodes:
        environment = services[name]["environment"]
        check(environment["CONVOY_HOST"] == name, f"{name} calls itself otherwise")
        check(f"{name}:2526" in environment["CONVOY_PEERS"], f"{name} is nobody's peer")
        founders += [name] if environment["CONVOY_FOUNDER"] == "yes" else []
    check(len(nodes) == 3 and founders == ["node1"], f"nodes {nodes}, founders {founders}")
    build = services["node1"]["build"]
    check((folder / build["context"] / build["dockerfile"]).is_file(), "no such Containerfile")

    node = (folder / "node.conf").read_text()
    balancer = services["balancer"]["networks"]["mail"]["ipv4_address"]
    check(f"\nproxy-trusted-source {balancer}\n" in node, "the nodes do not trust HAProxy")
    haproxy = (folder / "haproxy.cfg").read_text()
    servers = dict(re.findall(r"server (\S+) \S+:(\d+)", haproxy))
    check(list(servers) == nodes, f"HAProxy knows {list(servers)}")
    (smtp,) = set(servers.values())
    (health,) = re.findall(r"check port (\d+)", haproxy)
    listens(node, "compose", {int(smtp), int(health), 2526})


kubernetes(deploy / "kubernetes")
compose(deploy / "compose")
print("\n".join(faults))
sys.exit(bool(faults))

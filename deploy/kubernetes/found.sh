#!/bin/sh
# Makes a cluster of convoy-0, gives it the configuration that all nodes share, and keeps
# credentials in the secret convoy-join, with which convoy-start gets tokens for the other nodes.
# It may be run again at any time: then it only renews the credentials, which are good for 825
# days.
set -eu

node() { kubectl exec -i convoy-0 -c mtad -- "$@"; }

until node mtactl status < /dev/null > /dev/null 2>&1; do
    sleep 2
done
if ! kubectl get secret convoy-join > /dev/null 2>&1; then
    # Refused when a former run came so far; what follows fails if it was for another reason.
    node mtactl cluster init < /dev/null || true
    node mtactl config push - --comment 'first configuration' < /scripts/cluster.conf
fi
credentials=$(mktemp)
trap 'rm -f "$credentials"' EXIT
node mtactl cluster operator nodes --role admin --ttl 825d < /dev/null > "$credentials"
kubectl create secret generic convoy-join --from-file=credentials.pem="$credentials" \
    --dry-run=client -o yaml | kubectl apply -f -

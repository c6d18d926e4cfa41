"""The closing table of addresses and a first order to paste."""

from cli.local.home import Home
from cli.local.portcheck import LOOPBACK
from cli.local.ports import Ports
from mesh.wellknown import HEALTH_PAGE


def addresses(home: Home, ports: Ports) -> list[tuple[str, str]]:
    """Return name and address of everything a person may want to reach."""
    edge = f"http://{LOOPBACK}:{ports.edge}"
    return [
        ("REST", f"{edge}/v1"),
        ("gRPC, gRPC-Web", f"{LOOPBACK}:{ports.edge}"),
        ("https", f"https://{LOOPBACK}:{ports.edge_tls}  (certificate authority: {home.pki / 'ca.pem'})"),
        ("pages", f"{edge}/, {edge}/docs, {edge}/status"),
        ("health", f"{edge}{HEALTH_PAGE}"),
        ("services (mTLS)", ", ".join(f"{name} {port}" for name, port in ports.services.items())),
        ("metrics", ", ".join(f"{name} {port}" for name, port in {**ports.metrics, "audit": ports.audit}.items())),
        ("PostgreSQL", f"{LOOPBACK}:{ports.postgres}" if ports.postgres else "as DATABASE_URL says"),
        ("NATS", f"{LOOPBACK}:{ports.nats}" if ports.nats else "as NATS_URL says"),
        ("logs", str(home.logs)),
        ("administrator", str(home.credentials_file)),
    ]


def first_order(ports: Ports) -> str:
    """Return shell lines that register a buyer, log in, pick a product and order it, with curl and nothing else."""
    return f"""\
SHOP=http://{LOOPBACK}:{ports.edge}
EMAIL=buyer-$(date +%s)@example.com
field() {{ grep -o "\\"$1\\": *\\"[^\\"]*\\"" | head -n 1 | cut -d '"' -f 4; }}
curl -s $SHOP/v1/users -H 'content-type: application/json' \\
  -d '{{"email":"'$EMAIL'","password":"correct horse battery staple","displayName":"First Buyer"}}'
TOKEN=$(curl -s $SHOP/v1/auth:login -H 'content-type: application/json' \\
  -d '{{"email":"'$EMAIL'","password":"correct horse battery staple"}}' | field accessToken)
PRODUCT=$(curl -s "$SHOP/v1/products?pageSize=1" | field id)
curl -s $SHOP/v1/orders -H "authorization: Bearer $TOKEN" -H 'content-type: application/json' \\
  -d '{{"items":[{{"productId":"'$PRODUCT'","quantity":1}}],"paymentToken":"tok_visa","requestId":"'$(date +%s)'-1",
       "shippingAddress":{{"regionCode":"ES","postalCode":"28013","locality":"Madrid",
                          "addressLines":["Calle Mayor 1"]}}}}'
"""

"""DNS records as the operator publishes them: a JSON object, or a line of a zone file."""

from typing import TypedDict

from relaygw.core import dkim_record


class DnsRecord(TypedDict):
    """`name` without the final dot; the value of a TXT record in one piece."""

    name: str
    type: str
    value: str


def zone_line(record: DnsRecord) -> str:
    if record["type"] == "TXT":
        return dkim_record.zone_line(record["name"], record["value"])
    return f"{record['name']}. 3600 IN {record['type']} {record['value']}"

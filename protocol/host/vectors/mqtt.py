"""Vectors of MQTT 3.1.1 packets, worked by hand from the OASIS specification (sections in the names' comments)."""

from protocol.host.vectors.case import Vector, bad, good

_LIMIT = 256
_PLAIN = {
    "topic": "",
    "payload": "",
    "qos": 0,
    "packet_id": 0,
    "return_code": 0,
    "return_codes": [],
    "retain": False,
    "session_present": False,
}


def _encoders() -> list[Vector]:
    connect = {"packet": "connect", "client_id": "dev", "keep_alive": 30}
    publish = {"packet": "publish", "topic": "a/b", "payload": b"hi", "qos": 1, "packet_id": 10}
    return [
        # 3.1: fixed header, protocol name and level 4, clean session, keep alive, client id
        good(
            "connect", "mqtt_encode", connect, "100f" + "00044d515454" + "04" + "02" + "001e" + "0003646576"
        ),
        # 3.3
        good("publish", "mqtt_encode", publish, "3209" + "0003612f62" + "000a" + "6869"),
        # 3.8
        good(
            "subscribe",
            "mqtt_encode",
            {"packet": "subscribe", "packet_id": 1, "topics": ["a/#"]},
            "8208" + "0001" + "0003612f23" + "01",
        ),
        good("puback", "mqtt_encode", {"packet": "puback", "packet_id": 513}, "40020201"),  # 3.4
        good("pingreq", "mqtt_encode", {"packet": "ping"}, "c000"),  # 3.12
        good("disconnect", "mqtt_encode", {"packet": "disconnect"}, "e000"),  # 3.14
    ]


def mqtt() -> list[Vector]:
    def read(name: str, wire: str, *packets: dict[str, object]) -> Vector:
        out = [{**_PLAIN, **packet} for packet in packets]
        return good(name, "mqtt_decode", {"wire": wire, "max": _LIMIT}, out)

    def refused(name: str, wire: str, error: str) -> Vector:
        return bad(name, "mqtt_decode", {"wire": wire, "max": _LIMIT}, error)

    hello = {"kind": 3, "topic": "a/b", "payload": "6869", "qos": 1, "packet_id": 10}
    return [
        *_encoders(),
        read("connack", "20020100", {"kind": 2, "session_present": True}),
        read("connack_refused", "20020005", {"kind": 2, "return_code": 5}),
        read("suback", "90040001" + "0180", {"kind": 9, "packet_id": 1, "return_codes": [1, 0x80]}),
        read("pingresp", "d000", {"kind": 13}),
        read("publish_at_qos_1", "32090003612f62000a6869", hello),
        read("publish_retained", "31050003612f62", {"kind": 3, "topic": "a/b", "retain": True}),
        read("publish_again", "3a090003612f62000a6869", hello),
        read(
            "length_of_two_bytes",
            "308001" + "000161" + "00" * 125,
            {"kind": 3, "topic": "a", "payload": "00" * 125},
        ),
        read(
            "three_packets",
            "4002000132090003612f62000a6869d000",
            {"kind": 4, "packet_id": 1},
            hello,
            {"kind": 13},
        ),
        refused("larger_than_the_limit", "30810200", "mqtt_size"),
        refused("length_of_five_bytes", "3080808080", "mqtt_length"),
        refused("flags", "41020001", "mqtt_flags"),
        refused("packet_of_a_client", "c000", "mqtt_packet"),
        refused("connack_of_one_byte", "200100", "mqtt_packet"),
        refused("qos_2", "34050003612f62", "mqtt_publish"),
        refused("topic_longer_than_its_packet", "30020005", "mqtt_publish"),
        refused("topic_of_no_utf_8", "30030001ff", "mqtt_topic"),
        refused("packet_id_0", "32050001610000", "mqtt_packet_id"),
    ]

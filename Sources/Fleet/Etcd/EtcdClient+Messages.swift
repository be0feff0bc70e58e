import Foundation

/// The requests and answers of the gateway that several calls share.
extension EtcdClient {
    struct Header: Decodable {
        let cluster_id: String?
        let revision: String?
    }

    struct Failure: Decodable {
        let message: String?
    }

    struct Value: Decodable {
        let key: Data
        let mod_revision: String?
        let bytes: Data?

        enum CodingKeys: String, CodingKey {
            case key, mod_revision
            case bytes = "value"
        }

        var value: KeyValue {
            KeyValue(
                key: String(decoding: key, as: UTF8.self), value: Array(bytes ?? Data()),
                modified: Int(mod_revision ?? "0") ?? 0)
        }
    }

    struct RangeRequest: Encodable {
        let key: Data
        let range_end: Data?
    }

    struct RangeAnswer: Decodable {
        let header: Header
        let kvs: [Value]?
    }

    struct PutRequest: Encodable {
        let key: Data
        let value: Data
        let lease: String?
    }
}

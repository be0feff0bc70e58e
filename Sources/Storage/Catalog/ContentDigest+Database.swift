import Foundation
import GRDB

extension ContentDigest: DatabaseValueConvertible {
    /// The 32 bytes as a BLOB.
    public var databaseValue: DatabaseValue { withBytes { Data($0) }.databaseValue }

    /// Nil unless the value is a BLOB of 32 bytes.
    public static func fromDatabaseValue(_ value: DatabaseValue) -> ContentDigest? {
        guard case .blob(let data) = value.storage else { return nil }
        return ContentDigest(data)
    }
}

import Foundation
import TestSupport
import Testing

@Suite(.blocking) struct BucketOwnerTests {
    @Test("objects of a bucket are deleted in three places: by a collection, with a push's entry, and by a trim")
    func deletions() throws {
        let root = URL(filePath: #filePath).appending(path: "../../../Sources").standardizedFileURL
        var places: [String: Int] = [:]
        for path in TemporaryDirectory.files(below: root.path) where path.hasSuffix(".swift") {
            guard ["Fleet/", "Origins/", "Command/", "Server/"].contains(where: path.hasPrefix) else { continue }
            let code = try String(contentsOf: root.appending(path: path), encoding: .utf8)
                .split(separator: "\n").filter { !$0.drop { $0 == " " }.hasPrefix("//") }.joined(separator: "\n")
            let count = code.matches(of: #/(bucket|\$0)\.(delete|abort)\(|, \.DELETE/#).count
            if count > 0 { places[path] = count }
        }
        #expect(
            Set(places.keys) == [
                "Fleet/Fleet+GarbageCollection.swift", "Fleet/Publish/LedgerEntry.swift", "Fleet/Map/CASRegister.swift",
                // The requests themselves.
                "Origins/S3Bucket.swift", "Origins/S3Bucket+Multipart.swift",
            ], "\(places)")
    }
}

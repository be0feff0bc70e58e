import Foundation
import TestSupport
import Testing
@testable import Fleet
@testable import WeightStore

@Suite(.blocking)
struct PeerTreeTests {
    private func selectors(_ count: Int) throws -> [(name: String, selector: PeerSelector)] {
        let infos = try (0..<count).map {
            NodeInfo(name: "node\($0)", url: "peer+http://127.0.0.1:\(1000 + $0)", follows: [try Follow("org/model")])
        }
        return infos.map { info in
            let selector = PeerSelector(ownName: info.name)
            selector.set(infos)
            return (info.name, selector)
        }
    }

    private func request(_ number: Int) -> ShardRequest {
        let digest = withUnsafeBytes(of: number) { ContentDigest(of: $0) }
        return ShardRequest(digest: digest, bytes: 1, model: "org/model", commit: "", path: "", pieces: [])
    }

    @Test(
        "each shard has one node that reads the object store, and at most four nodes request it first from any one node"
    )
    func tree() throws {
        let selectors = try selectors(50)
        var roots: Set<String> = []
        for number in 0..<40 {
            let request = request(number)
            var children: [String: Int] = [:]
            var tops: [String] = []
            for (name, selector) in selectors {
                guard let parent = selector.origins(for: request).first else {
                    tops.append(name)
                    continue
                }
                children[parent.url, default: 0] += 1
            }
            #expect(tops.count == 1)
            roots.formUnion(tops)
            #expect(children.values.allSatisfy { $0 <= PeerSelector.fanOut })
            #expect(
                selectors.map { $0.selector.depth(of: request.digest, model: "org/model") }.max() == 3,
                "1 + 4 + 16 + 29")
        }
        #expect(roots.count > 15, "the load is spread")
    }

    @Test("requests among nodes never form a cycle, whatever each node knows of the others")
    func noCircle() throws {
        let all = try (0..<20).map {
            NodeInfo(name: "node\($0)", url: "peer+http://127.0.0.1:\(1000 + $0)", follows: [try Follow("org/model")])
        }
        for number in 0..<20 {
            var random = SystemRandomNumberGenerator()
            let request = request(number)
            var requests: [String: [String]] = [:]
            for info in all {
                let selector = PeerSelector(ownName: info.name)
                selector.set(all.filter { _ in Bool.random(using: &random) })
                requests[info.url] = selector.origins(for: request).map(\.url)
            }
            func depth(_ url: String, _ left: Int) -> Int {
                left == 0 ? 1000 : 1 + (requests[url]!.map { depth($0, left - 1) }.max() ?? 0)
            }
            #expect(all.allSatisfy { depth($0.url, 21) < 1000 })
        }
    }

    @Test(
        "a failed peer is skipped for a while, and the next one moves up; a node that cannot reach the object store requests from the others"
    )
    func leavingOut() throws {
        let selectors = try selectors(8)
        let request = request(1)
        let (_, selector) = try #require(
            selectors.first { $0.selector.depth(of: request.digest, model: "org/model") == 1 })
        let top = selector.origins(for: request)[0]
        selector.recordResult(
            from: top.url, request,
            StoreError.originDiffers(origin: top.url, digest: request.digest, found: "other bytes"))
        #expect(selector.origins(for: request).first?.url != top.url)
        let (_, root) = try #require(selectors.first { $0.selector.depth(of: request.digest, model: "org/model") == 0 })
        #expect(root.origins(for: request).isEmpty)
        root.recordResult(
            from: "s3://bucket", request,
            StoreError.originFailed(origin: "s3://bucket", digest: request.digest, reason: ""))
        #expect(!root.origins(for: request).isEmpty)
        root.recordResult(from: "s3://bucket", request, nil)
        #expect(root.origins(for: request).isEmpty)
        // A node that does not follow the model receives no request.
        let other = ShardRequest(digest: request.digest, bytes: 1, model: "org/other", commit: "", path: "", pieces: [])
        #expect(selectors.allSatisfy { $0.selector.origins(for: other).isEmpty })
    }
}

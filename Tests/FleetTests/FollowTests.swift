import Foundation
import TestSupport
import Testing
@testable import Fleet

@Suite(.blocking) struct FollowTests {
    @Test("a followed ref keeps its text, also if an older version has made it and git refuses its name")
    func text() throws {
        for text in ["org/model", "org/model@main", "org/model@a..b", "org/model@.x"] {
            let follow = try Follow(text)
            #expect(follow.description == text)
            #expect(try JSONDecoder().decode([Follow].self, from: JSONEncoder().encode([follow])) == [follow])
        }
        for text in ["", "org/model@", "org/model@a b", "org/model@~3"] {
            #expect(throws: (any Error).self) { try Follow(text) }
        }
    }
}

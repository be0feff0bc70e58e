/// The ORDER BY terms of a policy, for an index in the simulator.
///
/// The result does not depend on them: SQLite uses the index only if it provides the order of the query, and sorts
/// otherwise. So only queries of the form `SELECT … FROM candidate … ORDER BY …` are analyzed, and a mistake here costs
/// only time.
enum PolicyTerms {
    /// - Returns: the terms, with aliases of result columns replaced by their expressions; nil for queries of another
    ///   form.
    package static func of(_ sql: String) -> [String]? {
        let tokens = tokens(sql)
        guard tokens.first?.lowercased() == "select",
            let from = topLevel("from", in: tokens), let by = topLevel("by", in: tokens), by > from,
            tokens[by - 1].lowercased() == "order"
        else { return nil }
        var aliases: [String: String] = [:]
        for column in list(tokens[1..<from]) {
            if let alias = column.lastIndex(where: { $0.lowercased() == "as" }), alias + 2 == column.endIndex {
                aliases[column[alias + 1].lowercased()] = column[..<alias].joined(separator: " ")
            }
        }
        var terms = tokens[(by + 1)...]
        if terms.last == ";" { terms = terms.dropLast() }
        return list(terms).map { term in
            var expression = term
            var direction = ""
            if let last = expression.last?.lowercased(), last == "desc" || last == "asc" {
                direction = " " + last
                expression = expression.dropLast()
            }
            let text = expression.joined(separator: " ")
            return (expression.count == 1 ? aliases[text.lowercased()].map { "(\($0))" } ?? text : "(\(text))")
                + direction
        }
    }

    private static func topLevel(_ word: String, in tokens: [String]) -> Int? {
        var depth = 0
        for (index, token) in tokens.enumerated() {
            if token == "(" { depth += 1 }
            if token == ")" { depth -= 1 }
            if depth == 0, token.lowercased() == word { return index }
        }
        return nil
    }

    /// Splits at commas outside parentheses.
    private static func list(_ tokens: ArraySlice<String>) -> [ArraySlice<String>] {
        var parts: [ArraySlice<String>] = []
        var start = tokens.startIndex
        var depth = 0
        for index in tokens.indices {
            if tokens[index] == "(" { depth += 1 }
            if tokens[index] == ")" { depth -= 1 }
            if depth == 0, tokens[index] == "," {
                parts.append(tokens[start..<index])
                start = index + 1
            }
        }
        parts.append(tokens[start...])
        return parts.filter { !$0.isEmpty }
    }

    /// The words, numbers, strings and operators, without comments.
    private static func tokens(_ sql: String) -> [String] {
        var tokens: [String] = []
        var rest = sql[...]
        while let first = rest.first {
            if first.isWhitespace {
                rest = rest.dropFirst()
            } else if rest.hasPrefix("--") {
                rest = rest.drop { !$0.isNewline }
            } else if rest.hasPrefix("/*") {
                guard let end = rest.firstRange(of: "*/") else { return tokens }
                rest = rest[end.upperBound...]
            } else {
                let isWord = { (character: Character) in
                    character.isLetter || character.isNumber || "_.:".contains(character)
                }
                let length: Int
                if isWord(first) {
                    length = rest.prefix(while: isWord).count
                } else if first == "'" || first == "\"" {
                    length = rest.dropFirst().prefix { $0 != first }.count + 2
                } else {
                    length = ["<=", ">=", "<>", "||", "==", "!="].contains { rest.hasPrefix($0) } ? 2 : 1
                }
                tokens.append(String(rest.prefix(length)))
                rest = rest.dropFirst(length)
            }
        }
        return tokens
    }
}

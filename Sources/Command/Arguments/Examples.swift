import ArgumentParser

extension CommandConfiguration {
    /// The configuration with examples at the end of its help: arguments of `weightstore`.
    func examples(_ lines: String...) -> CommandConfiguration {
        var configuration = self
        let text = lines.count == 1 ? "Example:" : "Examples:"
        configuration.discussion +=
            (discussion.isEmpty ? "" : "\n\n") + text + lines.map { "\n  weightstore \($0)" }.joined()
        return configuration
    }
}

/// The view `candidate`, which a policy reads, and the view below it, which reads the tables.
///
/// For a read of a table, SQLite reports to the authorizer the name of the innermost view, and in the same way that of a
/// common table expression. A policy may call an expression of its own `candidate`. So the tables are read by a second
/// view, whose name a policy must not contain (`PolicyDatabase.compile`): a read for that name is always the view's.
enum CandidateView {
    static let name = "candidate"
    static let source = "candidate_source"

    /// The statements that create both views, unless they exist. They are temporary on every tier, so that a policy may
    /// call the view `temp.candidate`.
    ///
    /// - Parameters:
    ///   - expression: the expression of each column.
    ///   - rows: the FROM clause without its keyword, and the clauses after it.
    static func create(_ expression: KeyPath<CandidateColumn, String>, from rows: String) -> String {
        """
        CREATE TEMP VIEW IF NOT EXISTS \(source) AS
        SELECT \(CandidateColumn.select(expression))
        FROM \(rows);
        CREATE TEMP VIEW IF NOT EXISTS \(name) AS
        SELECT \(CandidateColumn.all.map(\.name).joined(separator: ", "))
        FROM \(source);
        """
    }
}

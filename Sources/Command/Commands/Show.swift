import ArgumentParser
import WeightStore

struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Show a model's revisions, or with @ one revision and its layers."
    ).examples("show org/llama", "show org/llama@main")

    @Argument(help: "A model, or a revision of it.", completion: .revisions) var name: String
    @OptionGroup var table: TableOptions
    @OptionGroup var options: StoreOptions

    private struct ModelAnswer: Encodable {
        let model: String
        let origins: [String]
        let revisions: [RevisionInfo]
    }

    private struct RevisionAnswer: Encodable {
        let revision: RevisionInfo
        let layers: [LayerInfo]
        /// The tensors that belong to no layer.
        let outsideLayers: OutsideLayers
        /// nil if an index is not stored, or cannot be read.
        let weights: [WeightSet]?
    }

    func run() throws {
        let store = try options.open()
        try name.contains("@") ? showRevision(store) : showModel(store)
    }

    private func showModel(_ store: Store) throws {
        let answer = ModelAnswer(
            model: name, origins: try store.origins(of: name), revisions: try store.revisions(of: name))
        if options.json { return try Terminal.write(json: answer) }
        var table = Table(
            "VERSION", "DIGEST", ">SIZE", ">HERE", ">FILES", ">TENSORS", ">LAYERS", "~REFS", "~PIN", "IMPORTED", "USED")
        for revision in answer.revisions {
            table.add(
                Self.version(revision), revision.digest.short, Quantity.bytes(revision.bytes),
                Stored((revision.bytes, revision.absent, revision.damaged)).text, "\(revision.files)",
                "\(revision.tensors)", "\(revision.layers)", revision.refs.joined(separator: ","),
                Self.pin(revision), Quantity.age(revision.created),
                revision.accesses > 0 ? Quantity.age(revision.lastAccess) : "never")
        }
        let origins = answer.origins.map { "origin  \($0)\n" }.joined()
        try Terminal.write("\(name)\n" + origins + table.text)
    }

    private func showRevision(_ store: Store) throws {
        let revision = try store.revision(name)
        // A cancelled work fetches nothing: an evicted index stays evicted, and an origin that is down delays nothing.
        let noFetch = Work()
        noFetch.cancel()
        let answer = RevisionAnswer(
            revision: try revision.info(), layers: try revision.layers(), outsideLayers: try revision.outsideLayers(),
            // The other facts are shown without it.
            weights: try? revision.weightSets(work: noFetch))
        if options.json { return try Terminal.write(json: answer) }
        let info = answer.revision
        var text = """
            \(revision.name)
            digest    \(info.digest)
            commit    \(info.commit)
            source    \(info.source)
            size      \(Quantity.bytes(info.bytes)) in \(Quantity.count(info.files, "file"))
            here      \(Stored((info.bytes, info.absent, info.damaged)).text)
            tensors   \(info.tensors)
            refs      \(info.refs.joined(separator: ", "))
            imported  \(Quantity.age(info.created))

            """
        if let reason = info.partial { text += "partial   \(reason)\n" }
        if info.pin != nil { text += "pin       \(Self.pin(info))\n" }
        text += Self.hint(answer.weights ?? [])
        var table = Table("~LAYER", ">TENSORS", ">SIZE")
        for layer in answer.layers {
            table.add("\(layer.stack).\(layer.number)", "\(layer.tensors)", Quantity.bytes(layer.bytes))
        }
        let outside = answer.outsideLayers
        if outside.tensors > 0 { table.add("(no layer)", "\(outside.tensors)", Quantity.bytes(outside.bytes)) }
        try Terminal.write(text + (table.isEmpty ? "" : "\n" + table.text))
    }

    /// The files that engines do not load together with the others, although they have tensors.
    private static func hint(_ sets: [WeightSet]) -> String {
        sets.filter { !$0.others.isEmpty }.map { set in
            let loaded = set.files.count == 1 ? set.files[0] : Quantity.count(set.files.count, "file")
            let first = set.files.count == 1 ? "" : " (\(set.files[0]), …)"
            return "hint      engines load \(loaded)\(first); beside it: \(set.others.joined(separator: ", ")). "
                + "The layers count the tensors of all files.\n"
        }.joined()
    }

    private static func version(_ revision: RevisionInfo) -> String {
        revision.version.map { VersionName.text($0) + (revision.partial == nil ? "" : " (partial)") } ?? "unfinished"
    }

    private static func pin(_ revision: RevisionInfo) -> String {
        revision.pin.map { $0.isEmpty ? "yes" : $0 } ?? ""
    }
}

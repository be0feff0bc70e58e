import ArgumentParser
import WeightStore

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show the state of the store on one screen: disk, models, the last jobs, and what runs now."
    ).examples("status")

    @OptionGroup var table: TableOptions
    @OptionGroup var options: StoreOptions

    private struct Models: Encodable {
        let whole: Int
        let partial: Int
        /// Models of whose newest version nothing is stored.
        let absent: Int
        let damaged: Int
    }

    private struct Answer: Encodable {
        let store: String
        let disk: DiskGauge
        /// Free bytes of the disk.
        let available: Int
        let models: Models
        let jobs: [JobRecord]
        let processes: [String]
        let readOnly: String?
    }

    func run() throws {
        let store = try options.open()
        let stats = try store.stats()
        let answer = Answer(
            store: store.path, disk: try store.diskGauge(), available: stats.available,
            models: Self.count(try store.models()), jobs: try store.jobs(), processes: stats.processes,
            readOnly: store.readOnlyReason)
        if options.json { return try Terminal.write(json: answer) }
        try Terminal.write(Self.text(answer))
    }

    private static func count(_ models: [Model]) -> Models {
        let versions = models.filter { $0.version != nil }
        let damaged = versions.filter { $0.damaged > 0 }
        let others = versions.filter { $0.damaged == 0 }
        let absent = others.filter { $0.bytes > 0 && $0.absent >= $0.bytes }
        let whole = others.filter { $0.absent == 0 && $0.partial == nil }
        return Models(
            whole: whole.count, partial: others.count - absent.count - whole.count, absent: absent.count,
            damaged: damaged.count)
    }

    private static func text(_ answer: Answer) -> String {
        let disk = answer.disk
        var text = "store      \(answer.store)\n"
        if let reason = answer.readOnly { text += "           \(reason): it can only be read\n" }
        if let limit = disk.quota.bytes {
            let share = limit > 0 ? Double(disk.bytes) / Double(limit) : 1
            let style: Terminal.Style? = share > 1 ? .red : share > disk.quota.high ? .yellow : nil
            let line =
                "\(bar(share, disk.quota)) \(Quantity.percent(share)) of the quota of \(Quantity.bytes(limit)); "
                + "evicts above \(Quantity.percent(disk.quota.high)), down to \(Quantity.percent(disk.quota.low))"
            text += "quota      \(style.map { Terminal.styled(line, $0) } ?? line)\n"
        } else {
            text += "quota      none\n"
        }
        let models = answer.models
        let damage = "\(models.damaged) damaged"
        text += disk.text
        text += """
            disk       \(Quantity.bytes(answer.available)) free
            models     \(models.whole) whole, \(models.partial) in part, \(models.absent) evicted, \
            \(models.damaged > 0 ? Terminal.styled(damage, .red) : damage)

            """
        for name in ["gc", "evict", "verify"] {
            let job = answer.jobs.first { $0.name == name }
            text += name + String(repeating: " ", count: 11 - name.count) + (job.map(line) ?? "never ran") + "\n"
        }
        return text + "running    " + (answer.processes.isEmpty ? "nothing" : answer.processes.joined(separator: ", "))
            + "\n"
    }

    private static func line(_ job: JobRecord) -> String {
        let end = job.status == 0 ? "done" : Terminal.styled("exit status \(job.status)", .red)
        return "\(Quantity.age(job.started)), \(end) in \(Quantity.seconds(job.seconds))"
            + (job.message.isEmpty ? "" : ": \(job.message)")
    }

    /// The share of the quota in 20 cells, with marks at the watermarks.
    private static func bar(_ share: Double, _ quota: Quota) -> String {
        let cells = 20
        func cell(_ share: Double) -> Int { min(max(Int(saturating: (share * Double(cells)).rounded()), 0), cells) }
        let (full, low, high) = (cell(share), cell(quota.low), cell(quota.high))
        return (1...cells).map { number in
            number <= full ? "█" : number == low || number == high ? "┃" : "░"
        }.joined()
    }
}

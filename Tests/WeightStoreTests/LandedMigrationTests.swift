import Migrations
import TestSupport
import Testing
import WeightStore

/// Stores exist that have applied these migrations. A change of schema is a new migration.
@Suite(.blocking) struct LandedMigrationTests {
    /// Each migration that has landed, in order, with the SHA-256 of its SQL. A new one is appended when it lands; no line
    /// is ever changed.
    private static let landed = [
        ("v0001_initial", "1c409fb0c9a3217913682c3308f73c108ea40406a970b2d2766bbd5731fa1ceb"),
        ("v0002_kv", "3518d2e4d78bb2595dd17c10a624eb3c0ef054adb0eb893deaae82139c959213"),
        ("v0003_fleet", "6c514dd10c13977003b7f3b3453448185c12db0971fb39db68a6d6232ca61a7b"),
        ("v0004_prompts", "352f39e003c256e93371b084bd1ff001b7abb86c7f388f81ecdf0d19855a5b03"),
        ("v0005_kv_sharing", "d4c05ebed1a3048e561e1d21ed89568fde82894ff6d6da8d4ba4e8ba35114ffa"),
        ("v0006_shard_version", "3322e59f88b7a4ce29ce24dcd9706eeafec768de45e6e5ae974599e356e7e347"),
        ("v0007_names", "ad635b598477610f22d7de6d316525ec6803c7f36021311badb2f3119c30c581"),
        ("v0008_store_identity", "8281eb73761b73b8b08e3dd9f4ff02b785b9593307620a9f737acd7672c7d330"),
        ("v0009_imports", "28acdb316f9bd6748096d34c253d2861e77fee9ffaffd890b59d0016ca7cc666"),
        ("v0010_revision_origins", "a5a478026fc5bdcde13a22162d2e142dc5c8df75d94092664418854e966ee24f"),
        ("v0011_removal_slices", "46cdf2d3e12745bf1ea19c5dd212a3b6b28dc8818869bb57391080c1395efa82"),
        ("v0012_cutting_rule", "aca08bc227a544e13b456c25da50fb7a8941abe80fedb897cff08342ca11e5d7"),
        ("v0013_activity", "5c6289da98f0519615cd91273ffc0631e1d0cc1d4677c39cf1438e02062556dc"),
        ("v0014_examined_directories", "7ccd70fc3d4168aa521f8bbce245a0660f1244dd3b56f9ee8893006abf11b9c4"),
    ]

    @Test("a landed migration is never edited, removed or moved")
    func unchanged() {
        #expect(Migrations.all.prefix(Self.landed.count).map(\.name) == Self.landed.map(\.0))
        for (migration, landed) in zip(Migrations.all, Self.landed) {
            let digest = Array(migration.sql.utf8).withUnsafeBytes { ContentDigest(of: $0).hex }
            #expect(digest == landed.1, "\(landed.0)")
        }
    }
}

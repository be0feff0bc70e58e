import Support
import Testing

/// URLs in messages and listings.
@Suite struct URLSecretsTests {
    @Test(
        "a text keeps its URLs without user, password, fragment and the values of their queries",
        arguments: [
            ("https://user:word@hub.example/a?token=x: status 403", "https://***@hub.example/a?token=***: status 403"),
            ("https://u:p@ss@h/", "https://***@h/"),
            ("peer+https://token@h:1", "peer+https://***@h:1"),
            ("https://u:p@a:2379,https://u:p@b:1/x", "https://***@a:2379,https://***@b:1/x"),
            ("{\"origin\" : \"https://u:p@h\"}", "{\"origin\" : \"https://***@h\"}"),
            ("(https://h/x?sig=1&b=2#frag), http://h:8000.", "(https://h/x?sig=***&b=***#***), http://h:8000."),
            ("https://h/?signature", "https://h/?***"),
            ("https://h/?a=&b", "https://h/?a=&***"),
            ("s3://b?endpoint=https://k:s@h", "s3://b?endpoint=***"),
            ("s3://key:word@bucket/prefix", "s3://***@bucket/prefix"),
        ])
    func secrets(text: String, shown: String) { #expect(text.withoutURLSecrets == shown) }

    @Test(
        "a text without secrets does not change",
        arguments: [
            "", "no URL", "://", "https://", "https://h#", "org/model@main", "https://hub.example/org/name@v1/x.",
            "s3://b/p?endpoint=https://s3.example:9000&region=here&style=path", "file:///tmp/a?b=c@d#e",
        ])
    func others(text: String) { #expect(text.withoutURLSecrets == text) }
}

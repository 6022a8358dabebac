//! An MCP SDK's own client and server speak through two sidecars and notice nothing, but for what policy hides.

use std::{collections::HashMap, sync::Arc};

use harness::Inside;
use hyper_util::{rt::TokioIo, server::conn::auto, service::TowerToHyperService};
use rmcp::{
    ErrorData, RoleServer, ServerHandler, ServiceExt as _,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ListToolsResult, PaginatedRequestParams,
        ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
    transport::{
        StreamableHttpClientTransport, StreamableHttpServerConfig, StreamableHttpService,
        streamable_http_client::StreamableHttpClientTransportConfig,
        streamable_http_server::session::local::LocalSessionManager,
    },
};
use tokio::{net::TcpListener, task::JoinSet};

#[derive(Clone)]
struct Tickets;

impl ServerHandler for Tickets {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tool = |name: &'static str| {
            Tool::new(name, "a tool", Arc::new(serde_json::Map::from_iter([("type".to_owned(), "object".into())])))
        };
        Ok(ListToolsResult::with_all_items(vec![tool("list_tickets"), tool("close_ticket")]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        Ok(CallToolResult::success(vec![ContentBlock::text(format!("{} done", request.name))]).into())
    }
}

/// Serves the SDK's server at `/mcp` on loopback; ends with what is returned.
async fn serve() -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let service: StreamableHttpService<Tickets, LocalSessionManager> =
        StreamableHttpService::new(|| Ok(Tickets), Arc::default(), StreamableHttpServerConfig::default());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _peer)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            connections.spawn(async move {
                // A broken connection is the other side's business.
                let _ended = auto::Builder::new(hyper_util::rt::TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (url, tasks)
}

#[tokio::test]
async fn client_and_server_of_an_sdk_work_through_two_sidecars() {
    runtime::tls::install_provider();
    let (url, _server) = serve().await;
    let inside = Inside::open(&url).await;
    let proxy = reqwest::Proxy::http(inside.proxy()).expect("a proxy");
    let http = reqwest::Client::builder().proxy(proxy).build().expect("a client");
    let handle = (http::HeaderName::from_static("countersign-handle"), inside.handle.parse().expect("a header"));
    let config = StreamableHttpClientTransportConfig::with_uri("http://tickets.tool/mcp")
        .custom_headers(HashMap::from([handle]));
    let client = ().serve(StreamableHttpClientTransport::with_client(http, config)).await.expect("initialized");
    let tools = client.list_all_tools().await.expect("listed");
    assert_eq!(
        tools.iter().map(|tool| tool.name.as_ref()).collect::<Vec<_>>(),
        ["list_tickets"],
        "only what planner may ask"
    );
    let answer = client.call_tool(CallToolRequestParams::new("list_tickets")).await.expect("called");
    assert!(format!("{answer:?}").contains("list_tickets done"), "{answer:?}");
    let refused = client.call_tool(CallToolRequestParams::new("close_ticket")).await.expect_err("refused");
    let text = format!("{refused:?}");
    assert!(text.contains("scope.not_permitted") || text.contains("403"), "{text}");
    client.cancel().await.expect("ended");
    inside.close().await;
}

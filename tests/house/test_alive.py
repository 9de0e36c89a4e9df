from conftest import Service


def test_the_server_is_alive_and_ready(service: Service) -> None:
    assert service.client.get("/livez").json() == {"status": "alive"}
    assert service.client.get("/readyz").json() == {"status": "ready"}


def test_an_unknown_address_is_a_problem_in_both_languages(service: Service) -> None:
    answer = service.client.get("/v1/nowhere", headers={"Accept-Language": "en"})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["title"] == "Not found"
    assert answer.json()["title_zh"] == "未找到"

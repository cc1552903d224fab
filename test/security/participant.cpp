// One DDS participant with one endpoint, as ROS 2 makes them, for tests of security.
//
//   participant DOMAIN hear|say TOPIC FIRST [ENCLAVE]
//
// It says numbers from FIRST on. ENCLAVE is a folder of keys and permissions; without it the participant is not secured. Writes a
// line for each thing that happens and ends with its standard input:
//
//   no participant | no endpoint | ready | matched NUMBER | heard NUMBER

#include <atomic>
#include <chrono>
#include <cstring>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include <fastdds/dds/domain/DomainParticipant.hpp>
#include <fastdds/dds/domain/DomainParticipantFactory.hpp>
#include <fastdds/dds/domain/qos/DomainParticipantQos.hpp>
#include <fastdds/dds/publisher/DataWriter.hpp>
#include <fastdds/dds/publisher/DataWriterListener.hpp>
#include <fastdds/dds/publisher/Publisher.hpp>
#include <fastdds/dds/subscriber/DataReader.hpp>
#include <fastdds/dds/subscriber/DataReaderListener.hpp>
#include <fastdds/dds/subscriber/SampleInfo.hpp>
#include <fastdds/dds/subscriber/Subscriber.hpp>
#include <fastdds/dds/topic/TopicDataType.hpp>
#include <fastdds/rtps/transport/UDPv4TransportDescriptor.h>

namespace fast = eprosima::fastdds::dds;
namespace rtps = eprosima::fastrtps::rtps;

using Number = uint32_t;

// A number in little-endian CDR.
class NumberType : public fast::TopicDataType {
public:
  NumberType() {
    setName("aegis_ros::test::Number");
    m_typeSize = 4 + sizeof(Number);
    m_isGetKeyDefined = false;
  }
  bool serialize(void *data, rtps::SerializedPayload_t *payload) override {
    const unsigned char header[4] = {0, 1, 0, 0};
    std::memcpy(payload->data, header, 4);
    std::memcpy(payload->data + 4, data, sizeof(Number));
    payload->encapsulation = CDR_LE;
    payload->length = m_typeSize;
    return true;
  }
  bool deserialize(rtps::SerializedPayload_t *payload, void *data) override {
    if (payload->length < m_typeSize) return false;
    std::memcpy(data, payload->data + 4, sizeof(Number));
    return true;
  }
  std::function<uint32_t()> getSerializedSizeProvider(void *) override {
    return [this]() { return m_typeSize; };
  }
  void *createData() override { return new Number(0); }
  void deleteData(void *data) override { delete static_cast<Number *>(data); }
  bool getKey(void *, rtps::InstanceHandle_t *, bool) override { return false; }
};

void say(const std::string &line) {
  static std::mutex one;
  std::lock_guard<std::mutex> alone(one);
  // At once, and on a line of its own: Fast DDS writes to the same stream from its own threads.
  std::cout << "\n" + line + "\n" << std::flush;
}

class Ears : public fast::DataReaderListener {
  void on_data_available(fast::DataReader *reader) override {
    Number number;
    fast::SampleInfo info;
    while (reader->take_next_sample(&number, &info) == eprosima::fastrtps::types::ReturnCode_t::RETCODE_OK)
      if (info.valid_data) say("heard " + std::to_string(number));
  }
  void on_subscription_matched(
      fast::DataReader *, const fast::SubscriptionMatchedStatus &status) override {
    say("matched " + std::to_string(status.current_count));
  }
};

class Mouth : public fast::DataWriterListener {
  void on_publication_matched(
      fast::DataWriter *, const fast::PublicationMatchedStatus &status) override {
    say("matched " + std::to_string(status.current_count));
  }
};

// The properties are those that rmw_fastrtps sets.
void secure(fast::DomainParticipantQos &qos, const std::string &enclave) {
  const std::string file = "file://" + enclave + "/";
  auto add = [&qos](const std::string &name, const std::string &value) {
    qos.properties().properties().emplace_back("dds.sec." + name, value);
  };
  add("auth.plugin", "builtin.PKI-DH");
  add("auth.builtin.PKI-DH.identity_ca", file + "identity_ca.cert.pem");
  add("auth.builtin.PKI-DH.identity_certificate", file + "cert.pem");
  add("auth.builtin.PKI-DH.private_key", file + "key.pem");
  add("crypto.plugin", "builtin.AES-GCM-GMAC");
  add("access.plugin", "builtin.Access-Permissions");
  add("access.builtin.Access-Permissions.permissions_ca", file + "permissions_ca.cert.pem");
  add("access.builtin.Access-Permissions.governance", file + "governance.p7s");
  add("access.builtin.Access-Permissions.permissions", file + "permissions.p7s");
}

fast::DomainParticipantQos on_this_machine() {
  fast::DomainParticipantQos qos;
  // Not through shared memory: another version of Fast DDS may have left segments there.
  auto udp = std::make_shared<eprosima::fastdds::rtps::UDPv4TransportDescriptor>();
  udp->maxInitialPeersRange = 16;
  udp->interfaceWhiteList.push_back("127.0.0.1");
  qos.transport().use_builtin_transports = false;
  qos.transport().user_transports.push_back(udp);
  rtps::Locator_t peer;
  rtps::IPLocator::setIPv4(peer, 127, 0, 0, 1);
  qos.wire_protocol().builtin.initialPeersList.push_back(peer);
  return qos;
}

int main(int count, char **arguments) {
  if (count < 5) return 64;
  const std::string role = arguments[2], topic_name = arguments[3];
  fast::DomainParticipantQos qos = on_this_machine();
  if (count > 5) secure(qos, arguments[5]);
  auto *participant = fast::DomainParticipantFactory::get_instance()->create_participant(
      std::stoi(arguments[1]), qos);
  if (participant == nullptr) {
    say("no participant");
    return 3;
  }
  fast::TypeSupport type(new NumberType());
  type.register_type(participant);
  auto *topic =
      participant->create_topic(topic_name, type.get_type_name(), fast::TOPIC_QOS_DEFAULT);
  Ears ears;
  Mouth mouth;
  fast::DataWriter *writer = nullptr;
  fast::DataReader *reader = nullptr;
  if (role == "say") {
    auto *publisher = participant->create_publisher(fast::PUBLISHER_QOS_DEFAULT);
    writer = publisher->create_datawriter(topic, fast::DATAWRITER_QOS_DEFAULT, &mouth);
  } else {
    auto *subscriber = participant->create_subscriber(fast::SUBSCRIBER_QOS_DEFAULT);
    fast::DataReaderQos reliable = fast::DATAREADER_QOS_DEFAULT;
    reliable.reliability().kind = fast::RELIABLE_RELIABILITY_QOS;
    reader = subscriber->create_datareader(topic, reliable, &ears);
  }
  if (writer == nullptr && reader == nullptr) {
    say("no endpoint");
    return 4;
  }
  say("ready");
  std::atomic<bool> ended(false);
  std::thread input([&ended]() {
    while (std::cin.get() != std::char_traits<char>::eof()) continue;
    ended = true;
  });
  for (Number number = std::stoul(arguments[4]); !ended; ++number) {
    if (writer != nullptr) writer->write(&number);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  input.join();
  std::_Exit(0);
}
